-- How alike two questions must be for the answer of one to be given to the other; null: they are the very same.

alter table inference.kept_answers add column likeness double precision check (likeness > 0 and likeness <= 1);
