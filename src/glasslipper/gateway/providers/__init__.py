"""The services that run models: what is known about each, and how to talk to them.

`table` holds one row for every provider that speaks OpenAI's chat completions, with what it wants
done differently. `openai` is the codec for all of them: `openai_request` writes, `openai_answer`,
`openai_usage` and `openai_refusal` read, in the types of `openai_wire`. Nothing here chooses
between providers.
"""
