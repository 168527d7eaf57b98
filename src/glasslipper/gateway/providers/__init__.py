"""The services that run models: what is known about each, and how to talk to them.

`table` holds one row for every provider that speaks OpenAI's chat completions, with what it wants
done differently; `openai` is the codec for all of them, and `openai_request`, `openai_wire`,
`openai_answer`, `openai_stream` and `openai_refusal` are its parts. Nothing here chooses between
providers.
"""
