-- Of a page that a vision model was asked about: the receipts of those calls, in the order in which they were made.
alter table knowledge.page
    add column receipts text[] not null default '{}';
