-- name: record
select audit.record(%(id)s, %(act)s, %(outcome)s, %(t)s, %(body)s, %(sealed)s, %(announce)s)

-- name: record_about
-- The same for an event about persons.
select audit.record(%(id)s, %(act)s, %(outcome)s, %(t)s, %(body)s, %(sealed)s, %(announce)s, %(subjects)s::bytea[])

-- name: log
select id, vkey from audit.log

-- name: begin_log
insert into audit.log (id, vkey) values (%(id)s, %(vkey)s) on conflict do nothing

-- name: take_turn
-- One sequencer at a time, for this transaction; where the log stands now.
select pg_try_advisory_xact_lock(7092446862314537474), (select max(size) from audit.checkpoint)

-- name: append
-- The oldest committed rows leave the outbox and become leaves and events, stamped with their place; a transaction
-- that is still open shows its rows to a later batch. Whose body nobody of ours composed is named as such, and an
-- id that stands twice is listed once: neither may stop the log, and verification names both.
with gone as (
    delete from audit.outbox
    where seq <= (select max(seq) from (select seq from audit.outbox order by seq limit %(limit)s) as oldest)
    returning seq, tenant_id, id, act, outcome, t, producer, n, body
), placed as (
    select *, %(base)s + row_number() over (order by seq) - 1 as index, strpos(body, '"log":{}') as mark,
        '"log":{"at":' || %(at)s || ',"base":' || %(base)s || ',"id":"' || %(log)s || '","n":' || n
            || ',"p":"' || producer || '"}' as place
    from gone
), stamped as materialized (
    select index, tenant_id, id, act, outcome, t,
        case when mark > 0 and octet_length(body) < 65000 then overlay(body placing place from mark for 8)
            else '{"act":"audit.malformed",' || place || ',"v":1}' end as body
    from placed
), listed as (
    insert into audit.event (tenant_id, id, index, act, outcome, t)
    select tenant_id, id, index, act, outcome, t from stamped
    on conflict (tenant_id, id) do nothing
), grown as (
    insert into audit.leaf (index, body) select index, convert_to(body, 'UTF8') from stamped
)
select body from stamped order by index

-- name: put_tiles
insert into audit.tile (level, n, hashes)
select * from unnest(%(levels)s::integer[], %(ns)s::bigint[], %(hashes)s::bytea[])
on conflict (level, n) do update set hashes = excluded.hashes

-- name: add_checkpoint
insert into audit.checkpoint (size, note) values (%(size)s, %(note)s)

-- name: last_checkpoint
select size, note from audit.checkpoint order by size desc limit 1

-- name: last_checkpoints
select size, note from audit.checkpoint order by size desc limit 1000

-- name: tiles
select level, n, hashes from audit.tile
where (level, n) in (select * from unnest(%(levels)s::integer[], %(ns)s::bigint[]))

-- name: tile
select hashes from audit.tile where level = %(level)s and n = %(n)s

-- name: leaf_bodies
select body from audit.leaf where index >= %(low)s and index < %(high)s order by index

-- name: leaf
select body from audit.leaf where index = %(index)s

-- name: event
select index from audit.event where id = %(id)s

-- name: events
select e.id, e.index, e.act, e.outcome, e.t, p.sealed
from audit.event e left join audit.payload p on p.tenant_id = e.tenant_id and p.id = e.id
where e.index < %(before)s
order by e.index desc limit %(limit)s

-- name: payload
select sealed from audit.payload where id = %(id)s

-- name: forget
-- The mention goes with every payload that speaks of this person.
with gone as (delete from audit.mention where subject = %(subject)s returning id)
delete from audit.payload p using gone where p.id = gone.id

-- name: waiting
-- How many events wait for the sequencer, and since when the oldest does (milliseconds since 1970).
select count(*), coalesce(min(t), 0) from audit.outbox

-- name: one_picture
-- Verification reads for a while and must see one state of the log.
set transaction isolation level repeatable read, read only

-- name: leaf_blocks
-- Leaves in blocks of 256, each with what the tenants' lists of events say of them. A leaf that somebody made
-- longer than any of ours is cut: that is as good as any change.
select l.index / 256, string_agg(substr(l.body, 1, 65536), ''::bytea order by l.index),
    array_agg(least(length(l.body), 65536) order by l.index), array_agg(l.index order by l.index),
    array_agg(concat_ws('|', e.id, e.act, e.outcome, e.t, e.tenant_id) order by l.index)
from audit.leaf l left join audit.event e on e.index = l.index and e.index >= %(low)s and e.index < %(high)s
where l.index >= %(low)s and l.index < %(high)s
group by 1 order by 1

-- name: leaf_tiles
select n, hashes from audit.tile where level = 0 and n >= %(low)s and n < %(high)s

-- name: upper_tiles
select level, n, hashes from audit.tile where level > 0 order by level, n

-- name: checkpoints
select size, note from audit.checkpoint where size > %(low)s and size <= %(high)s order by size

-- name: beyond
-- What should not be there: leaves, events and tiles past the last checkpoint, events without a leaf.
select
    (select min(index) from audit.leaf where index >= %(size)s or index < 0),
    (select min(index) from audit.event where index >= %(size)s or index < 0),
    (select count(*) from audit.event),
    (select count(*) from audit.tile)

-- name: doubled_events
select index from audit.event group by index having count(*) > 1 order by index limit 1

-- name: counters
select c.producer, c.n, coalesce(w.waiting, 0), coalesce(w.first, 0), coalesce(w.last, 0)
from audit.counter c
left join (
    select producer, count(*) as waiting, min(n) as first, max(n) as last from audit.outbox group by producer
) as w on w.producer = c.producer

-- name: carry
-- Calls from the journal, many tenants' at a time, and how far their process has come with that. Lists come as texts
-- with commas (bodies: lines), what is sealed as one value with the size of each, pseudonyms of persons 32 bytes each.
select audit.carry(
    %(owner)s, %(place)s, %(upto)s, string_to_array(%(tenants)s, ',')::uuid[], string_to_array(%(ids)s, ','),
    string_to_array(%(acts)s, ','), string_to_array(%(outcomes)s, ','), string_to_array(%(times)s, ',')::bigint[],
    string_to_array(%(bodies)s, E'\n'),
    (select array_agg(substr(%(sealed)s::bytea, upto - size + 1, size) order by n) from (
        select n, size, sum(size) over (order by n)::integer as upto
        from unnest(string_to_array(%(sizes)s, ',')::integer[]) with ordinality as s (size, n)) as pieces),
    string_to_array(%(about_tenants)s, ',')::uuid[], string_to_array(%(about_ids)s, ','),
    (select array_agg(substr(%(about)s::bytea, (n * 32 - 31)::integer, 32) order by n)
        from generate_series(1, length(%(about)s::bytea) / 32) as n)
)

-- name: carried
select carried from audit.journal where owner = %(owner)s

-- name: forget_journal
delete from audit.journal where owner = %(owner)s

-- name: counts_straight
-- Where the counts of these tenants stand for calls that go straight into the log.
select tenant_id::text, producer, n from audit.counter
where slot = 32 and tenant_id = any(string_to_array(%(tenants)s, ',')::uuid[])

-- name: enter
-- Calls from the journal straight into the log; texts without commas of their own come as one text, bytes joined.
select audit.enter(
    %(owner)s, %(place)s, %(upto)s, %(base)s, %(first)s,
    string_to_array(%(tenants)s, ',')::uuid[], string_to_array(%(producers)s, ','), %(stands)s::bigint[],
    %(counts)s::bigint[], %(whose)s::integer[], string_to_array(%(ids)s, ','), string_to_array(%(acts)s, ','),
    string_to_array(%(outcomes)s, ','), %(times)s::bigint[],
    %(leaves)s::bytea, %(leaf_starts)s::integer[], %(leaf_sizes)s::integer[],
    %(sealed)s::bytea, %(sealed_starts)s::integer[], %(sealed_sizes)s::integer[],
    string_to_array(%(about_tenants)s, ',')::uuid[], string_to_array(%(about_ids)s, ','), %(about)s::bytea,
    %(levels)s::integer[], %(ns)s::bigint[], %(hashes)s::bytea[], %(note)s
)
