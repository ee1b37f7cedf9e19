import { useQuery } from "@tanstack/react-query";
import { api, call, type Schemas } from "~/api/client";
import { isProblem } from "~/api/problem";
import { queryClient } from "~/api/queries";

export type Me = Schemas["Me"];
export type PermissionName = Schemas["Permission"];

export const ME = ["me"] as const;

/** Who is signed in; null: nobody. */
async function loadMe(): Promise<Me | null> {
  try {
    return await call(api.GET("/api/v1/me"));
  } catch (error) {
    if (isProblem(error, "sign_in_required")) return null;
    throw error;
  }
}

export const meQuery = { queryKey: ME, queryFn: loadMe, staleTime: 60_000 };

/** The person who is signed in. Only below the shell, which shows nothing before somebody is. */
export function useMe(): Me {
  const { data } = useQuery(meQuery);
  if (!data) throw new Error("nobody is signed in");
  return data;
}

/** Whether the person may do something: `const may = useMay(); may("resources:write")`. The API asks again. */
export function useMay(): (permission: string) => boolean {
  const { permissions } = useMe();
  return (permission) => permissions.includes(permission);
}

/** Ends the session and forgets everything that was read with it. */
export async function signOut(): Promise<void> {
  await call(api.DELETE("/api/v1/sessions/{session}", { params: { path: { session: "current" } } }));
  queryClient.clear();
}
