// Vercel's AI SDK, with its OpenAI-compatible provider and OpenRouter's.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { createOpenRouter } from "@openrouter/ai-sdk-provider";
import { generateText, streamText, stepCountIs, tool } from "ai";
import { z } from "zod";
import { HOST, KEY, LOCAL, MOCK, isCity, ok, run } from "./checks.mjs";

const plain = createOpenAICompatible({
  name: "glasslipper", baseURL: `http://${HOST}/v1`, apiKey: KEY, includeUsage: true,
});
const router = createOpenRouter({ baseURL: `http://${HOST}/api/v1`, apiKey: KEY });
const inputSchema = z.object({ city: z.enum(["Rom", "Paris"]) });
const weather = tool({ description: "Tells the weather.", inputSchema });
const working = tool({ description: "Tells the weather.", inputSchema, execute: async () => "sunny" });
const brief = { prompt: "Say hello.", maxOutputTokens: 12, maxRetries: 0 };
const forced = {
  prompt: "The weather in Rom?", tools: { weather }, toolChoice: "required",
  maxOutputTokens: 60, maxRetries: 0,
};

function checksOf(provider) {
  const model = (id) => (provider.chat ? provider.chat(id) : provider.chatModel(id));
  return {
    async answers() {
      const made = await generateText({ model: model(LOCAL), ...brief });
      ok(made.text, "the text");
      ok(made.usage.outputTokens, "the usage");
    },
    async streams() {
      const made = streamText({ model: model(LOCAL), ...brief });
      let text = "";
      for await (const part of made.textStream) text += part;
      ok(text, "the text");
      ok(["stop", "length"].includes(await made.finishReason), await made.finishReason);
    },
    async calls_a_tool() {
      const made = await generateText({ model: model(LOCAL), ...forced });
      isCity(made.toolCalls[0].input);
    },
    async calls_a_tool_in_a_stream() {
      const made = streamText({ model: model(LOCAL), ...forced });
      isCity((await made.toolCalls)[0].input);
    },
    async ends_a_tool_loop() {
      const made = streamText({
        model: model(MOCK), prompt: "The weather in Rom?", tools: { weather: working },
        stopWhen: stepCountIs(4), maxRetries: 0,
      });
      ok(await made.text, "the text after the tool's result");
      ok((await made.steps).length === 2, (await made.steps).length);
    },
    async embeds() {
      const { embedMany } = await import("ai");
      const embedder = provider.textEmbeddingModel ?? provider.embeddingModel;
      const made = await embedMany({ model: embedder("local/static-256"), values: ["a", "b"] });
      ok(made.embeddings[1].length === 256, made.embeddings[1].length);
    },
    async tells_of_an_error() {
      let failed = false;
      try {
        await generateText({ model: model("no/such"), ...brief });
      } catch (error) {
        failed = error.statusCode === 404;
      }
      ok(failed, "an error with status 404");
    },
  };
}

const named = (prefix, checks) =>
  Object.fromEntries(Object.entries(checks).map(([name, check]) => [`${prefix} ${name}`, check]));
await run({
  ...named("openai-compatible", checksOf(plain)),
  ...named("openrouter provider", checksOf(router)),
});
