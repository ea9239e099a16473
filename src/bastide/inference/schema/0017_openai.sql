-- OpenAI itself, which needs other bodies than servers in its style.

alter table inference.model drop constraint model_kind_check;
alter table inference.model add constraint model_kind_check check (kind in (
    'openai', 'openai-api', 'vllm', 'llamacpp', 'ollama', 'ovhcloud', 'mistral', 'scaleway', 'ionos', 'stackit',
    't-systems', 'infomaniak', 'nebius', 'openrouter', 'anthropic', 'gemini', 'ovhcloud-batch', 'openai-batch'
));
