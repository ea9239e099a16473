-- == files ==========================================================================================

-- name: add_file
insert into inference.file
    (id, name, purpose, bytes, blob, said, label, subjects, user_id, app_id, key_id, expires_at)
values
    (%(id)s, %(name)s, 'batch', %(bytes)s, %(blob)s, %(said)s, %(label)s, %(subjects)s, %(user)s, %(app)s, %(key)s,
    now() + make_interval(secs => %(keep_s)s))
returning id, name, purpose, bytes, blob, batch, errors, said, label, created_at, expires_at

-- name: bytes_kept
select inference.bytes_kept()

-- name: files
-- Who may not see everybody's sees those of his own user, or of his own key where that belongs to nobody.
select id, name, purpose, bytes, blob, batch, errors, said, label, created_at, expires_at
from inference.file
where expires_at > now()
  and (not %(mine)s or user_id = %(user)s or user_id is null and %(user)s::text is null and key_id = %(key)s)
  and (%(ids)s::text[] is null or id = any(%(ids)s::text[]))
  and (%(purpose)s::text is null or purpose = %(purpose)s)
  and (%(after)s::text is null or id < %(after)s)
order by id desc limit %(limit)s

-- name: files_from_the_oldest
select id, name, purpose, bytes, blob, batch, errors, said, label, created_at, expires_at
from inference.file
where expires_at > now()
  and (not %(mine)s or user_id = %(user)s or user_id is null and %(user)s::text is null and key_id = %(key)s)
  and (%(purpose)s::text is null or purpose = %(purpose)s)
  and (%(after)s::text is null or id > %(after)s)
order by id limit %(limit)s

-- name: blob_of_input
-- What a batch was made of, also when its days are over while it runs.
select blob from inference.file where id = %(id)s

-- name: delete_file
delete from inference.file where id = %(id)s returning blob, batch, errors

-- name: delete_lines
delete from inference.batch_line where batch = %(batch)s and failed = %(failed)s

-- name: delete_outputs
-- Their lines go with their batches.
delete from inference.file where batch = any(%(batches)s)

-- name: expired_files
-- Not what a batch still reads.
delete from inference.file f
using (
    select id from inference.file e
    where expires_at < now() and not exists (
        select from inference.batch b
        where b.input_file = e.id and b.status in ('validating', 'in_progress', 'cancelling'))
    order by expires_at limit 100
) as old
where f.id = old.id
returning f.id, f.blob, f.batch, f.errors

-- name: files_about
delete from inference.file where %(subject)s = any(subjects) returning id, blob

-- == batches ========================================================================================

-- name: add_batch
insert into inference.batch
    (id, job, input_file, endpoint, window_h, metadata, keep_s, said, label, subjects, user_id, app_id, key_id,
    expires_at)
values
    (%(id)s, %(job)s, %(input_file)s, %(endpoint)s, %(window_h)s, %(metadata)s, %(keep_s)s, %(said)s, %(label)s,
    %(subjects)s, %(user)s, %(app)s, %(key)s, now() + make_interval(hours => %(window_h)s))

-- name: batches
select id, job, input_file, endpoint, window_h, metadata, keep_s, said, label, status, total, answered, failed,
    tokens_in, tokens_out, tokens_cached, tokens_thought, problems, output_file, error_file, created_at, expires_at,
    begun_at, cancelling_at, ended_at, extract(epoch from expires_at - now())::float8 as left_s
from inference.batch
where (not %(mine)s or user_id = %(user)s or user_id is null and %(user)s::text is null and key_id = %(key)s)
  and (%(ids)s::text[] is null or id = any(%(ids)s::text[]))
  and (%(after)s::text is null or id < %(after)s)
order by id desc limit %(limit)s

-- name: batch_at_work
select id, job, input_file, endpoint, window_h, metadata, keep_s, said, label, status, total, answered, failed,
    tokens_in, tokens_out, tokens_cached, tokens_thought, problems, output_file, error_file, created_at, expires_at,
    begun_at, cancelling_at, ended_at, extract(epoch from expires_at - now())::float8 as left_s
from inference.batch where id = %(id)s for update

-- name: batches_of_file
select id, job, status in ('validating', 'in_progress', 'cancelling') as live
from inference.batch where input_file = any(%(files)s)

-- name: begin_batch
-- Also anew: a job that had failed or was cancelled may be begun again.
update inference.batch
set status = case status when 'cancelling' then status else 'in_progress' end, total = %(total)s,
    begun_at = coalesce(begun_at, now()), ended_at = null, problems = null, output_file = null, error_file = null
where id = %(id)s

-- name: cancel_batch
update inference.batch set status = 'cancelling', cancelling_at = now()
where id = %(id)s and status in ('validating', 'in_progress')

-- name: lines_done
select n from inference.batch_line where batch = %(batch)s

-- name: count_lines
update inference.batch
set answered = answered + %(answered)s, failed = failed + %(failed)s, tokens_in = tokens_in + %(tokens_in)s,
    tokens_out = tokens_out + %(tokens_out)s, tokens_cached = tokens_cached + %(tokens_cached)s,
    tokens_thought = tokens_thought + %(tokens_thought)s, label = %(label)s
where id = %(id)s
returning status

-- name: keep_line
insert into inference.batch_line (batch, n, failed, bytes, sealed)
values (%(batch)s, %(n)s, %(failed)s, %(bytes)s, %(sealed)s)

-- name: lines_page
select n, sealed from inference.batch_line
where batch = %(batch)s and failed = %(failed)s and n > %(after)s order by n limit %(limit)s

-- name: end_batch
update inference.batch
set status = %(status)s, ended_at = now(), problems = %(problems)s, output_file = %(output_file)s,
    error_file = %(error_file)s
where id = %(id)s

-- name: add_output
-- Whoever asked for the batch may see what came of it.
insert into inference.file
    (id, name, purpose, bytes, batch, errors, said, label, subjects, user_id, app_id, key_id, expires_at)
select %(id)s, %(name)s, 'batch_output', sum(l.bytes), b.id, l.failed, b.said, b.label, b.subjects, b.user_id, b.app_id,
    b.key_id, now() + make_interval(secs => b.keep_s)
from inference.batch b join inference.batch_line l on l.batch = b.id
where b.id = %(batch)s and l.failed = %(failed)s
group by b.tenant_id, b.id, l.failed
returning id

-- name: delete_batches
delete from inference.batch where id = any(%(ids)s)

-- name: old_batches
-- A batch is remembered as long as anything of it is there, and for so many days.
delete from inference.batch b
where b.ended_at < now() - make_interval(days => %(days)s)
  and not exists (select from inference.file f where f.batch = b.id)

-- name: batches_about
select id from inference.batch where %(subject)s = any(subjects) or input_file = any(%(files)s)

-- name: overdue_batches
-- Whose window is over and that nobody has ended: its job was stopped or lost while nobody looked.
select id from inference.batch
where status in ('validating', 'in_progress', 'cancelling') and expires_at < now() order by id limit 100
