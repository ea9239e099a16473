-- Receipts of calls reach the outbox behind the calls, many tenants' in one transaction of the operator (see
-- audit.carry): it finds the wrapped keys of those tenants, which are worth nothing without the home's KEK.

grant select, insert on store.tenant_key to bastide_operator;
create policy operator_finds on store.tenant_key for select to bastide_operator using (true);
create policy operator_adds on store.tenant_key for insert to bastide_operator with check (true);
