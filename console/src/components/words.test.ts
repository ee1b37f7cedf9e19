import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { shellWord } from "./words";

const HOSTILE = ["$(id)", "`id`", '"; id; "', "'; id; '", "a b", "$HOME", "!!", "x\\", "~root", "a\nb"];

test.each(HOSTILE)("T-74: the name %j stays one word of a shell, as it is", (name) => {
  expect(execFileSync("/bin/sh", ["-c", `printf '[%s]' ${shellWord(name)}`], { encoding: "utf-8" })).toBe(`[${name}]`);
});

test("T-74: no command puts a name between double quotes", () => {
  const sources = import.meta.glob<string>("../**/*.{ts,tsx}", { query: "?raw", import: "default", eager: true });
  const found = Object.entries(sources).filter(([, text]) => /\b(ostiary|curl)\b[^`\n]*"\$\{[^`\n]*name/.test(text));
  expect(found.map(([path]) => path)).toEqual([]);
});
