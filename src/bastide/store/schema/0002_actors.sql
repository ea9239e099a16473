-- Who acts: the user, the app and the roles of a transaction, as signed as its tenant.
--
-- `bastide.actors` is: the four fields of the context | names, by commas | HMAC-SHA256 of the five. A name is an id of a
-- user or an app, `role:` and a role, or `*`: a transaction that may look past the members of collections.

create function store.acting() returns text[]
    language plpgsql stable security definer parallel safe
    set search_path = pg_catalog
as $$
declare
    actors text := current_setting('bastide.actors', true);
    part text[];
    pads record;
begin
    if actors is null or actors = '' or store.tenant() is null then
        return '{}';
    end if;
    part := string_to_array(actors, '|');
    if cardinality(part) <> 6
       or not starts_with(current_setting('bastide.context', true), array_to_string(part[1:4], '|') || '|') then
        return '{}';                                            -- signed for another transaction
    end if;
    select ipad, opad into pads from store.context_key where id = 1;
    if not found or part[6] <> encode(sha256(pads.opad || sha256(pads.ipad ||
            convert_to(array_to_string(part[1:5], '|'), 'UTF8'))), 'hex') then
        return '{}';
    end if;
    return string_to_array(part[5], ',');
end
$$;
revoke all on function store.acting() from public;
grant execute on function store.acting() to bastide_app, bastide_operator;
insert into store.definer_allowed values
    ('store.acting()', 'verifies who acts with a key that the application role cannot read');
