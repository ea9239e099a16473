-- Which processes have the book of a tenant with rates at hand: without the database, each of them lets through its part.

create table inference.book_holder (
    tenant_id uuid not null default store.tenant(),
    holder text collate "C" not null,               -- a process
    seen_at timestamptz not null default now(),
    primary key (tenant_id, holder)
);
call store.protect('inference.book_holder');

-- How many there are, this one among them. A book is of no use after a quarter of an hour, nor is who has held it since.
create function inference.hold_book(p_holder text) returns integer language plpgsql set search_path = pg_catalog as $$
begin
    if not exists (select from inference.book_holder b
                   where b.holder = p_holder and b.seen_at > clock_timestamp() - interval '1 minute') then
        delete from inference.book_holder b where b.seen_at < clock_timestamp() - interval '16 minutes';
        insert into inference.book_holder as b (holder) values (p_holder)
            on conflict (tenant_id, holder) do update set seen_at = clock_timestamp();
    end if;
    return (select count(*) from inference.book_holder b where b.seen_at > clock_timestamp() - interval '16 minutes');
end
$$;
