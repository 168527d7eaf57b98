"""The faces that clients see: one wire format each, decoded into the kernel's words and back.

A dialect knows its own JSON and nothing about routes, providers, money or HTTP. `chat` is
OpenAI's chat completions with OpenRouter's extras, `embeddings` OpenAI's embeddings, `errors`
the error object that both share. What every dialect needs to know about an exchange besides the
answer itself is in `envelope`; how bytes become typed values, or a sentence about why not, in
`body`.
"""
