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

-- The owner moves a tenant's vectors from the shared partition to its own, and reads nothing else. It could
-- lift row security anyway: it owns the table. No service logs in as the owner.
create policy owner_moves on knowledge.embedding_shared to current_user using (true) with check (true);

-- Which tenants have a partition of their own, and for which model and dimension its graph was built.
create table knowledge.placement (
    tenant_id uuid not null default store.tenant(),
    model text not null,
    dimensions integer not null,
    created timestamptz not null default now(),
    primary key (tenant_id, model)
);
call store.protect('knowledge.placement');
