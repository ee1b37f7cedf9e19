import { api, call, idempotencyKey, type Schemas } from "~/api/client";
import { usePages } from "~/api/pages";
import { queryClient } from "~/api/queries";
import type { Blast } from "~/components/confirm-danger";
import { counted } from "~/components/words";

export type Plan = Schemas["Plan"];
export type PlanLine = Schemas["PlanLine"];
/** What a plan was made of; kept in this window only, so that it can be made again when the log has moved. */
export type Draft = Schemas["PlanCreate"];

export function usePlans() {
  return usePages(["plans"], (cursor) => call(api.GET("/api/v1/plans", { params: { query: { cursor, limit: 100 } } })));
}

export const planQuery = (hash: string) => ({
  queryKey: ["plans", hash],
  queryFn: () => call(api.GET("/api/v1/plans/{hash}", { params: { path: { hash } } })),
});

export async function makePlan(draft: Draft): Promise<Plan> {
  const plan = await call(api.POST("/api/v1/plans", { body: draft }));
  keepDraft(draft, plan.hash);
  queryClient.setQueryData(planQuery(plan.hash).queryKey, plan);
  await queryClient.invalidateQueries({ queryKey: ["plans"], exact: true });
  return plan;
}

export function applyPlan(hash: string, key = idempotencyKey()) {
  const params = { path: { hash }, header: { "idempotency-key": key } };
  return call(api.POST("/api/v1/plans/{hash}/apply", { params }));
}

export async function exportPolicy(): Promise<Schemas["Export"]> {
  return call(api.GET("/api/v1/export"));
}

const drafts = new Map<string, Draft>();
const DRAFTS = 20;

/** Keeps a document for its plan; the oldest one goes when there are many. */
export function keepDraft(draft: Draft, hash: string): void {
  drafts.delete(hash);
  drafts.set(hash, draft);
  const oldest = drafts.keys().next().value;
  if (drafts.size > DRAFTS && oldest !== undefined) drafts.delete(oldest);
}

export function draftOf(hash: string): Draft | undefined {
  return drafts.get(hash);
}

export function blastOf({ summary }: Pick<Plan, "summary">): Blast {
  return {
    lines: [
      `${counted(summary.create + summary.change + summary.remove, "change", "changes")} in one transaction, exactly as shown.`,
      `${counted(summary.gained, "person or service account", "people and service accounts")} will reach more, ${summary.lost.toLocaleString("en")} will reach less.`,
      `${counted(summary.cut, "open connection", "open connections")} will be cut within a second.`,
    ],
    undo: "Each of its changes stands in the audit trail; the policy before it can be planned and applied again.",
  };
}

/** The first characters of a hash, as people compare them. */
export function shortHash(hash: string): string {
  return hash.slice(0, 12);
}

/** Where line `line`, counted from 1, begins and ends in a text. */
export function lineRange(text: string, line: number): [number, number] {
  const lines = text.split("\n");
  const before = lines.slice(0, Math.max(0, line - 1));
  const start = before.reduce((sum, each) => sum + each.length + 1, 0);
  return [start, start + (lines[line - 1]?.length ?? 0)];
}
