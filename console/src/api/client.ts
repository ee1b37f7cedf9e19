import createClient from "openapi-fetch";
import { ApiProblem, parseProblem } from "~/api/problem";
import type { components, paths } from "~/api/schema";

/** Schemas of the API by name: `Schemas["Resource"]`. */
export type Schemas = components["schemas"];

/** The typed client. The session is a cookie that no script can read; nothing is kept here. */
export const api = createClient<paths>({ baseUrl: "/", credentials: "same-origin" });

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/**
 * Returns what the API answered: `await call(api.GET("/api/v1/networks"))`.
 *
 * Throws ApiProblem for a refusal and TypeError when nobody answered.
 */
export async function call<T>(asked: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await asked;
  if (!response.ok) throw new ApiProblem(parseProblem(error, response.status));
  return data as T;
}

/** A key that makes a repeated creation harmless: make one per opened form, not per attempt. */
export function idempotencyKey(): string {
  return crypto.randomUUID();
}

/** The header that makes a change fail with 412 when somebody else was quicker. */
export function ifMatch(version: number): string {
  return `"${version}"`;
}
