import type { components } from "~/api/schema";

/** What the API answers when it refuses (RFC 9457). `code` is stable; `detail` and `next` are shown as they are. */
export type Problem = components["schemas"]["Problem"];

/** A refusal of the API, or a controller that did not answer (`code` `unreachable`, made here). */
export class ApiProblem extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
    this.name = "ApiProblem";
  }

  get code(): string {
    return this.problem.code;
  }
}

const UNREACHABLE: Problem = {
  type: "about:blank",
  title: "The controller does not answer.",
  status: 0,
  code: "unreachable",
  detail: "The controller does not answer.",
  next: "The console tries again by itself; check your connection and the controller's host.",
  field: null,
  request_id: "",
};

/** Whatever was thrown, as a problem: each error component shows nothing else. */
export function problemOf(error: unknown): Problem {
  if (error instanceof ApiProblem) return error.problem;
  if (error instanceof TypeError) return UNREACHABLE; // what `fetch` throws without an answer
  const detail = error instanceof Error ? error.message : String(error);
  return { ...UNREACHABLE, title: "The console failed.", code: "console_failed", detail, next: "Load the page again." };
}

export function isProblem(error: unknown, code: string): boolean {
  return error instanceof ApiProblem && error.code === code;
}

/** A body that is no problem comes from something between us and the controller, such as a proxy. */
export function parseProblem(body: unknown, status: number): Problem {
  if (typeof body === "object" && body !== null && "code" in body && "detail" in body) return body as Problem;
  return {
    ...UNREACHABLE,
    title: `HTTP ${status}`,
    status,
    code: "no_problem",
    detail: `Something answered ${status} that is not the controller.`,
    next: "Look at the proxy between this browser and the controller.",
  };
}
