import { useQuery } from "@tanstack/react-query";
import { api, call, type Schemas } from "~/api/client";
import { usePages } from "~/api/pages";

export type AgentEnforcement = Schemas["AgentEnforcement"];
export type ChangeAgent = Schemas["ChangeEnforcementAgent"];

const load = (cursor: string | undefined) =>
  call(api.GET("/api/v1/enforcement", { params: { query: { cursor, limit: 100 } } }));

/** Agents, page by page; the first page also says the revision and how many are behind. */
export function useEnforcement() {
  return usePages<AgentEnforcement>(["enforcement"], load);
}

export function useStanding() {
  return useQuery({ queryKey: ["enforcement", "standing"], queryFn: () => load(undefined) });
}

const loadChange = (revision: number, outstanding: boolean, cursor?: string) =>
  call(
    api.GET("/api/v1/enforcement/{revision}", {
      params: { path: { revision }, query: { outstanding, cursor, limit: 100 } },
    }),
  );

export function useChange(revision: number) {
  return useQuery({
    queryKey: ["enforcement", revision],
    queryFn: () => loadChange(revision, false),
    enabled: revision > 0,
  });
}

export function useChangeAgents(revision: number, outstanding: boolean) {
  return usePages<ChangeAgent>(["enforcement", revision, { outstanding }], (cursor) =>
    loadChange(revision, outstanding, cursor),
  );
}
