-- Every process hears when models, routes, prices, budgets, rates or departments of a tenant change, or when another
-- process takes a tenant's book to hand (see hearing.py of the store).

create function inference.tell() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    perform pg_notify('changed', 'inference.' || tg_argv[0] || ' ' || coalesce(new.tenant_id, old.tenant_id));
    return null;
end
$$;
create trigger tell after insert or update or delete on inference.model
    for each row execute function inference.tell('models');
create trigger tell after insert or update or delete on inference.route
    for each row execute function inference.tell('models');
create trigger tell_new after insert or delete on inference.offer for each row execute function inference.tell('models');
create trigger tell after update on inference.offer for each row
    when ((old.input_price, old.output_price, old.currency, old.capabilities, old.stands_for, old.context_tokens, old.gone_at)
        is distinct from
        (new.input_price, new.output_price, new.currency, new.capabilities, new.stands_for, new.context_tokens, new.gone_at))
    execute function inference.tell('models');
create trigger tell after insert or update or delete on inference.budget
    for each row execute function inference.tell('accounts');
create trigger tell after insert or update or delete on inference.rate
    for each row execute function inference.tell('accounts');
create trigger tell after insert or update or delete on inference.department
    for each row execute function inference.tell('accounts');
create trigger tell after insert or update or delete on inference.kept_answers
    for each row execute function inference.tell('accounts');
create trigger tell after insert on inference.book_holder
    for each row execute function inference.tell('accounts');
