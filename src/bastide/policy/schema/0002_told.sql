-- Every process hears when a tenant's policy or the quarantine changes (see hearing.py of the store).

create function policy.tell() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    perform pg_notify('changed', 'policy ' || new.tenant_id);
    return null;
end
$$;
create trigger tell after insert on policy.tenant_policy for each row execute function policy.tell();

create function policy.tell_all() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    perform pg_notify('changed', 'policy.quarantine');
    return null;
end
$$;
create trigger tell after insert or update or delete on policy.quarantine execute function policy.tell_all();
