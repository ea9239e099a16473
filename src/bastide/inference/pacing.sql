-- Pacing: the shares that processes have of the rates of endpoints.

-- name: share_pace
select requests, gives, others from inference.share_pace(%(pace)s, %(holder)s, %(rate)s, %(keeps)s, %(wants)s,
    %(seconds)s, %(tell)s)

-- name: leave_pace
-- What was used of it in the last minute counts for another one; the rest is free at once.
update inference.pace_share set requests = least(requests, %(used)s), wants = 0,
    expires_at = least(expires_at, clock_timestamp())
where pace = %(pace)s and holder = %(holder)s
