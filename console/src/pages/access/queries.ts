import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { api, call, type Schemas } from "~/api/client";

export type AccessLine = Schemas["AccessLine"];
export type AccessSpan = Schemas["AccessSpan"];
export type History = Schemas["AccessHistory"];

export interface Question {
  user?: string | undefined;
  resource?: string | undefined;
  at?: string | undefined;
}

/** Who could, and could not, and why; over the policy of that moment. */
export function useAnswer({ user, resource, at }: Question) {
  return useQuery({
    queryKey: ["access", { user, resource, at }],
    queryFn: () =>
      call(api.GET("/api/v1/access", { params: { query: { user, resource, at, denied: true, limit: 200 } } })),
    enabled: Boolean(user || resource),
    placeholderData: keepPreviousData,
  });
}

export function useHistory(user: string, resource: string, since: string | undefined, until: string | undefined) {
  return useQuery({
    queryKey: ["access", "history", { user, resource, since, until }],
    queryFn: () => call(api.GET("/api/v1/access/history", { params: { query: { user, resource, since, until } } })),
    placeholderData: keepPreviousData,
  });
}
