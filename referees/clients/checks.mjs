// Runs the checks of one client and prints what came of them; see checks.py.
export const { REFEREE_HOST: HOST, REFEREE_KEY: KEY, REFEREE_ADMIN_KEY: ADMIN_KEY } = process.env;
export const { REFEREE_LOCAL: LOCAL, REFEREE_MOCK: MOCK } = process.env;

export const CITY = {
  type: "object",
  properties: { city: { type: "string", enum: ["Rom", "Paris"] } },
  required: ["city"],
  additionalProperties: false,
};

export function ok(found, what) {
  if (!found) throw new Error(`${what}: ${JSON.stringify(found)}`);
}

export function isCity(value) {
  const found = typeof value === "string" ? JSON.parse(value) : value;
  ok(["Rom", "Paris"].includes(found.city), `the arguments are ${JSON.stringify(found)}`);
}

export async function run(checks) {
  const told = [];
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      told.push([name, null]);
    } catch (error) {
      console.error(error);
      const why = `${error?.name ?? "Error"}: ${error?.message ?? error}`;
      told.push([name, why.slice(0, 600)]);
    }
  }
  console.log(JSON.stringify(told));
}
