// OpenRouter's SDK for JavaScript: its zod schemas are strict about every answer.
import { OpenRouter } from "@openrouter/sdk";
import { ADMIN_KEY, CITY, HOST, KEY, LOCAL, MOCK, isCity, ok, run } from "./checks.mjs";

const client = new OpenRouter({ serverURL: `http://${HOST}/api/v1`, apiKey: KEY });
const admin = new OpenRouter({ serverURL: `http://${HOST}/api/v1`, apiKey: ADMIN_KEY });
const messages = [{ role: "user", content: "Say hello." }];
const weather = { type: "function", function: { name: "weather", parameters: CITY } };

const send = (body) => client.chat.send({ chatRequest: body });

await run({
  async answers() {
    const made = await send({ model: LOCAL, messages, maxTokens: 12 });
    ok(made.choices[0].message.content, "the text");
  },
  async streams() {
    let text = "";
    const stream = await send({ model: LOCAL, messages, maxTokens: 12, stream: true });
    for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
    ok(text, "the text");
  },
  async calls_a_tool() {
    const made = await send({
      model: LOCAL, messages, tools: [weather], toolChoice: "required", maxTokens: 60,
    });
    isCity(made.choices[0].message.toolCalls[0].function.arguments);
  },
  async falls_back() {
    const made = await send({ model: "openai/gpt-4o", models: [MOCK], messages });
    ok(made.choices[0].message.content, "the text");
  },
  async lists_models() {
    const made = await client.models.list();
    const data = made.data ?? made.result?.data;
    ok(data.some((model) => model.id === LOCAL), "the local model");
  },
  async lists_endpoints() {
    const [author, slug] = LOCAL.split("/");
    ok((await client.endpoints.list({ author, slug })).data.endpoints.length, "the endpoints");
  },
  async lists_providers() {
    ok((await client.providers.list()).data.length, "the providers");
  },
  async shows_a_generation() {
    // Past the SDK, so that this does not hang on how it reads answers of models.
    const said = await fetch(`http://${HOST}/api/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
      body: JSON.stringify({ model: LOCAL, messages, max_tokens: 4 }),
    });
    const { id } = await said.json();
    ok((await client.generations.getGeneration({ id })).data.id === id, "the id");
  },
  async shows_credits() {
    ok((await admin.credits.getCredits()).data.totalUsage >= 0, "the usage");
  },
  async shows_the_key() {
    ok((await client.apiKeys.getCurrentKeyMetadata()).data.label, "the label");
  },
});
