import { shellWord } from "~/components/words";

/** A JSON schema, as far as it is shown here. */
export interface Schema {
  $ref?: string;
  type?: string;
  format?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  example?: unknown;
  examples?: unknown[];
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
}
interface RawOperation {
  operationId?: string;
  summary?: string;
  description?: string;
  tags?: string[];
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema?: Schema }[];
  requestBody?: { content?: Record<string, { schema?: Schema }> };
  responses?: Record<string, { content?: Record<string, { schema?: Schema; example?: unknown }> }>;
}
export interface Document {
  paths: Record<string, Record<string, RawOperation>>;
  components?: { schemas?: Record<string, Schema> };
}
export interface Operation {
  id: string;
  method: string;
  path: string;
  summary: string;
  description: string;
  parameters: { name: string; where: string; type: string; required: boolean; description: string }[];
  body: Schema | undefined;
  answer: Schema | undefined;
  refusals: string[];
}

const METHODS = ["get", "post", "put", "patch", "delete"];
/** Deeper than any schema of the API nests; ends schemas that name themselves. */
const DEPTH_MAX = 6;

function schemaOf(content: Record<string, { schema?: Schema }> | undefined): Schema | undefined {
  return content ? Object.values(content)[0]?.schema : undefined;
}

function typeOf(schema: Schema | undefined): string {
  if (!schema) return "";
  if (schema.enum) return schema.enum.join(" | ");
  const some = schema.anyOf?.filter(({ type }) => type !== "null").map(typeOf);
  if (some) return some.join(" | ");
  return schema.format ?? schema.type ?? schema.$ref?.split("/").at(-1) ?? "";
}

/** Operations by their first tag, those that say `wanted` in path, summary or description. */
export function operationsOf(document: Document, wanted: string): [string, Operation[]][] {
  const found = new Map<string, Operation[]>();
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const method of METHODS) {
      const raw = methods[method];
      if (!raw) continue;
      const text = `${method} ${path} ${raw.summary} ${raw.description}`.toLowerCase();
      if (!words.every((word) => text.includes(word))) continue;
      const tag = raw.tags?.[0] ?? "other";
      found.set(tag, [...(found.get(tag) ?? []), operationOf(path, method, raw)]);
    }
  }
  return [...found];
}

function operationOf(path: string, method: string, raw: RawOperation): Operation {
  const answers = Object.entries(raw.responses ?? {});
  return {
    id: raw.operationId ?? `${method} ${path}`,
    method: method.toUpperCase(),
    path,
    summary: raw.summary ?? "",
    description: raw.description ?? "",
    parameters: (raw.parameters ?? []).map((parameter) => ({
      name: parameter.name,
      where: parameter.in,
      type: typeOf(parameter.schema),
      required: parameter.required ?? false,
      description: parameter.description ?? "",
    })),
    body: schemaOf(raw.requestBody?.content),
    answer: schemaOf(answers.find(([status]) => status.startsWith("2"))?.[1].content),
    refusals: answers.map(([status]) => status).filter((status) => status >= "400"),
  };
}

/** An example of what a schema describes: its own if it has one, else one made of its parts. */
export function exampleOf(schema: Schema | undefined, document: Document, depth = 0): unknown {
  if (!schema || depth > DEPTH_MAX) return undefined;
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1) ?? "";
    return exampleOf(document.components?.schemas?.[name], document, depth + 1);
  }
  const own = schema.examples?.[0] ?? schema.example ?? schema.const ?? schema.enum?.[0];
  if (own !== undefined) return own;
  if (schema.anyOf) return exampleOf(schema.anyOf[0], document, depth + 1);
  if (schema.properties) {
    const pairs = Object.entries(schema.properties).map(([name, part]) => [name, exampleOf(part, document, depth + 1)]);
    return Object.fromEntries(pairs.filter(([, value]) => value !== undefined));
  }
  if (schema.type === "array") {
    const item = exampleOf(schema.items, document, depth + 1);
    return item === undefined ? [] : [item];
  }
  if (schema.default !== undefined) return schema.default;
  const plain: Record<string, unknown> = { string: "string", integer: 1, number: 1, boolean: true, null: null };
  return schema.type === undefined ? undefined : plain[schema.type];
}

/** The request as a command; the token comes from the environment and is in no history. */
export function commandOf({ method, path, parameters }: Operation, body: unknown, origin: string): string {
  const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => name.toUpperCase());
  const lines = [`curl ${method === "GET" ? "" : `-X ${method} `}${shellWord(origin + filled)}`];
  lines.push('  -H "Authorization: Bearer $OSTIARY_API_TOKEN"');
  if (parameters.some(({ name }) => name === "if-match")) lines.push("  -H 'If-Match: \"1\"'");
  if (body !== undefined) {
    lines.push("  -H 'Content-Type: application/json'", `  -d ${shellWord(JSON.stringify(body))}`);
  }
  return lines.join(" \\\n");
}
