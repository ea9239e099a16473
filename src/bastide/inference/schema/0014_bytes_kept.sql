-- How many bytes of files the tenant has kept. Asked before one is added: two that come at once are looked at one by one.
create function inference.bytes_kept() returns bigint language plpgsql set search_path = pg_catalog as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('inference.file ' || store.tenant(), 0));
    return (select coalesce(sum(f.bytes), 0) from inference.file f where f.expires_at > now());
end
$$;
