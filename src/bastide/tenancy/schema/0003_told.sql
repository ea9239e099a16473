-- Changes of identities are told on the channel that all rooms share (see hearing.py of the store).

create or replace function tenancy.tell() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    perform pg_notify('changed', 'tenancy');
    return null;
end
$$;
