import { expect, test } from "vitest";
import { commandOf, type Document, exampleOf, operationsOf } from "./document";

const DOCUMENT: Document = {
  paths: {
    "/api/v1/things/{thing}": {
      get: { tags: ["things"], summary: "Read a thing", responses: { "200": {}, "404": {} } },
      patch: {
        tags: ["things"],
        summary: "Change a thing",
        parameters: [{ name: "if-match", in: "header", required: true }],
        requestBody: { content: { "application/json": { schema: { $ref: "#/components/schemas/Change" } } } },
      },
    },
  },
  components: {
    schemas: {
      Change: {
        properties: { name: { type: "string", examples: ["wiki"] }, again: { $ref: "#/components/schemas/Change" } },
      },
    },
  },
};

test("operations stand below their tag and are found by words", () => {
  expect(operationsOf(DOCUMENT, "").map(([tag, found]) => [tag, found.length])).toEqual([["things", 2]]);
  expect(operationsOf(DOCUMENT, "read thing")[0]?.[1].map(({ method }) => method)).toEqual(["GET"]);
  expect(operationsOf(DOCUMENT, "nothing")).toEqual([]);
});

test("a schema that names itself has an example that ends", () => {
  expect(exampleOf({ $ref: "#/components/schemas/Change" }, DOCUMENT)).toMatchObject({ name: "wiki" });
});

test("the command holds no secret and asks for the version that it changes", () => {
  const change = operationsOf(DOCUMENT, "change")[0]?.[1][0];
  if (!change) throw new Error("no operation");
  const command = commandOf(change, { name: "it's" }, "https://c.example");
  expect(command).toContain("curl -X PATCH https://c.example/api/v1/things/THING");
  expect(command).toContain("$OSTIARY_API_TOKEN");
  expect(command).toContain("If-Match");
  expect(command).toContain(`-d '{"name":"it'\\''s"}'`);
});
