-- A model may be one that gets what identifies a person under pseudonyms only.

alter table inference.model add column pseudonymise boolean not null default false;
