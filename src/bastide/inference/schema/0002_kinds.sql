-- More kinds of servers, and how often each may be asked.

alter table inference.model drop constraint model_kind_check;
alter table inference.model add constraint model_kind_check check (kind in (
    'openai', 'vllm', 'llamacpp', 'ollama', 'ovhcloud', 'mistral', 'scaleway', 'ionos', 'stackit', 't-systems',
    'infomaniak', 'nebius', 'openrouter', 'anthropic', 'gemini'
));
alter table inference.model add column requests_per_minute integer check (requests_per_minute > 0);
