-- Meaning. Small tenants share the default partition and are searched exactly, by their slice of the
-- primary key; a tenant that grows past a threshold gets a partition of its own with an HNSW graph (one
-- graph shared under a tenant filter loses most of the answers). The column has no dimension, because
-- models differ; the graph is built over an expression that has one.

create table knowledge.embedding (
    tenant_id uuid not null default store.tenant(),
    chunk bigint not null,
    document bigint not null,
    model text not null,
    v halfvec not null,
    primary key (tenant_id, chunk, model),
    foreign key (tenant_id, chunk) references knowledge.chunk (tenant_id, id) on delete cascade
) partition by list (tenant_id);

create table knowledge.embedding_shared partition of knowledge.embedding default;
call store.protect('knowledge.embedding');

-- The owner moves a tenant's vectors from the shared partition to its own, for which PostgreSQL checks, as the
-- owner, that their chunks exist. It could lift row security anyway: it owns the tables. No service logs in as the
-- owner.
create policy owner_moves on knowledge.embedding_shared to current_user using (true) with check (true);
create policy owner_checks on knowledge.chunk for select to current_user using (true);

-- Which tenants have a partition of their own, and for which model and dimension its graph was built.
create table knowledge.placement (
    tenant_id uuid not null default store.tenant(),
    model text not null,
    dimensions integer not null,
    created timestamptz not null default now(),
    primary key (tenant_id, model)
);
call store.protect('knowledge.placement');

-- place: give a tenant's vectors a partition with a graph. Called by the owner in one transaction, so a crash at
-- any step leaves nothing behind:
--   1. a new table is filled from the shared partition and its graph is built: nobody waits yet
--   2. the shared partition is locked, briefly
--   3. what was written or deleted since step 1 is written or deleted here, too
--   4. the rows leave the shared partition, and the table becomes a partition under row security
create procedure knowledge.place(tenant uuid, model text, dimensions integer) language plpgsql as $$
declare
    name text := 'embedding_' || replace(tenant::text, '-', '');
    graph text := format('create index on knowledge.%I using hnsw ((v::halfvec(%s)) halfvec_ip_ops) where model = %L',
                         name, dimensions, model);
begin
    perform pg_advisory_xact_lock(hashtextextended('knowledge.place ' || name, 0));
    if to_regclass('knowledge.' || name) is not null then
        execute graph;                                          -- another model of a tenant that has its partition
        return;
    end if;
    -- 1
    execute format('create table knowledge.%I (like knowledge.embedding including defaults including indexes)', name);
    execute format('insert into knowledge.%I select * from knowledge.embedding_shared where tenant_id = %L', name, tenant);
    execute graph;
    -- 2: in the order of writers (chunk, then embedding), or they would wait for us and we for them
    lock table knowledge.chunk in share row exclusive mode;
    lock table only knowledge.embedding in share row exclusive mode;
    lock table knowledge.embedding_shared in access exclusive mode;
    -- 3
    execute format('delete from knowledge.%I t where not exists (select from knowledge.embedding_shared s '
                   'where s.tenant_id = %L and s.chunk = t.chunk and s.model = t.model)', name, tenant);
    execute format('insert into knowledge.%I select s.* from knowledge.embedding_shared s where s.tenant_id = %L and '
                   'not exists (select from knowledge.%I t where t.chunk = s.chunk and t.model = s.model)',
                   name, tenant, name);
    -- 4
    execute format('delete from knowledge.embedding_shared where tenant_id = %L', tenant);
    execute format('alter table knowledge.embedding attach partition knowledge.%I for values in (%L)', name, tenant);
    execute format('call store.protect_partition(%L)', 'knowledge.' || name);
end
$$;
revoke all on procedure knowledge.place(uuid, text, integer) from public;
