import { api, call, ifMatch, type Schemas } from "~/api/client";
import { allOf, usePages } from "~/api/pages";
import type { Found } from "~/area";
import type { Blast } from "~/components/confirm-danger";
import { counted } from "~/components/words";

export type User = Schemas["User"];
export type Group = Schemas["Group"];
export type Role = Schemas["Role"];
export type ServiceAccount = Schemas["ServiceAccount"];

export const ROLES: Role[] = ["owner", "admin", "network-admin", "access-approver", "auditor", "member"];
const LIMIT = 200;

/** A person's name, or what is left when it was erased. */
export function nameOf({ name, email, id }: Pick<User, "id" | "name" | "email">): string {
  return name || email || id;
}

export function useUsers(email: string | undefined, role: string | undefined) {
  return usePages(["users", { email, role }], (cursor) =>
    call(
      api.GET("/api/v1/users", { params: { query: { cursor, email, role: role as Role | undefined, limit: 100 } } }),
    ),
  );
}

export const userQuery = (id: string) => ({
  queryKey: ["users", id],
  queryFn: () => call(api.GET("/api/v1/users/{user}", { params: { path: { user: id } } })),
});

export function createUser(body: Schemas["UserCreate"], key: string) {
  return call(api.POST("/api/v1/users", { body, params: { header: { "idempotency-key": key } } }));
}

export function changeUser({ id, version }: Pick<User, "id" | "version">, body: Schemas["UserChange"]) {
  const params = { path: { user: id }, header: { "if-match": ifMatch(version) } };
  return call(api.PATCH("/api/v1/users/{user}", { params, body }));
}

export function removeUser({ id, version }: Pick<User, "id" | "version">) {
  const params = { path: { user: id }, header: { "if-match": ifMatch(version) } };
  return call(api.DELETE("/api/v1/users/{user}", { params }));
}

export function eraseUser(id: string) {
  return call(api.DELETE("/api/v1/users/{user}/personal-data", { params: { path: { user: id } } }));
}

export function removeSecondFactor(id: string) {
  return call(api.DELETE("/api/v1/users/{user}/second-factor", { params: { path: { user: id } } }));
}

export const identitiesQuery = (id: string) => ({
  queryKey: ["users", id, "identities"],
  queryFn: () => call(api.GET("/api/v1/users/{user}/identities", { params: { path: { user: id } } })),
});

/** What somebody may reach, and why. */
export function useAccessOf(user: string) {
  return usePages(["access", { user }], (cursor) =>
    call(api.GET("/api/v1/access", { params: { query: { user, denied: true, cursor, limit: 100 } } })),
  );
}

export const groupsOfQuery = (user: string) => ({
  queryKey: ["groups", { member: user }],
  queryFn: () =>
    allOf((cursor) => call(api.GET("/api/v1/groups", { params: { query: { cursor, member: user, limit: LIMIT } } }))),
});

const loadGroups = (cursor: string | undefined) =>
  call(api.GET("/api/v1/groups", { params: { query: { cursor, limit: LIMIT } } }));

export const groupsOfAll = { queryKey: ["groups", "all"], queryFn: () => allOf(loadGroups) };

export function useGroups(name: string | undefined) {
  return usePages(["groups", { name }], (cursor) =>
    call(api.GET("/api/v1/groups", { params: { query: { cursor, name, limit: 100 } } })),
  );
}

export const groupQuery = (id: string) => ({
  queryKey: ["groups", id],
  queryFn: () => call(api.GET("/api/v1/groups/{group}", { params: { path: { group: id } } })),
});

export function useMembers(group: string) {
  return usePages(["groups", group, "members"], (cursor) =>
    call(api.GET("/api/v1/groups/{group}/members", { params: { path: { group }, query: { cursor, limit: 100 } } })),
  );
}

export function createGroup(body: Schemas["GroupCreate"], key: string) {
  return call(api.POST("/api/v1/groups", { body, params: { header: { "idempotency-key": key } } }));
}

export function renameGroup({ id, version }: Group, name: string) {
  const params = { path: { group: id }, header: { "if-match": ifMatch(version) } };
  return call(api.PATCH("/api/v1/groups/{group}", { params, body: { name } }));
}

export function removeGroup({ id, version }: Group) {
  const params = { path: { group: id }, header: { "if-match": ifMatch(version) } };
  return call(api.DELETE("/api/v1/groups/{group}", { params }));
}

export function addMember(group: string, user: string) {
  return call(api.PUT("/api/v1/groups/{group}/members/{user}", { params: { path: { group, user } } }));
}

export function removeMember(group: string, user: string) {
  return call(api.DELETE("/api/v1/groups/{group}/members/{user}", { params: { path: { group, user } } }));
}

export function useServiceAccounts(name: string | undefined) {
  return usePages(["service-accounts", { name }], (cursor) =>
    call(api.GET("/api/v1/service-accounts", { params: { query: { cursor, name, limit: 100 } } })),
  );
}

export const serviceAccountQuery = (id: string) => ({
  queryKey: ["service-accounts", id],
  queryFn: () => call(api.GET("/api/v1/service-accounts/{account}", { params: { path: { account: id } } })),
});

export function createServiceAccount(name: string, key: string) {
  return call(api.POST("/api/v1/service-accounts", { body: { name }, params: { header: { "idempotency-key": key } } }));
}

export function newServiceToken(account: string, key: string) {
  const params = { path: { account }, header: { "idempotency-key": key } };
  return call(api.POST("/api/v1/service-accounts/{account}/enrolment", { params }));
}

export function changeServiceAccount({ id, version }: ServiceAccount, disabled: boolean) {
  const params = { path: { account: id }, header: { "if-match": ifMatch(version) } };
  return call(api.PATCH("/api/v1/service-accounts/{account}", { params, body: { disabled } }));
}

export function removeServiceAccount({ id, version }: ServiceAccount) {
  const params = { path: { account: id }, header: { "if-match": ifMatch(version) } };
  return call(api.DELETE("/api/v1/service-accounts/{account}", { params }));
}

/** What somebody, or a service account, has now: it is lost when the account is disabled or removed. */
export async function blastOfSubject(subject: string, undo: string | null): Promise<Blast> {
  const query = { limit: LIMIT };
  const [devices, grants, open] = await Promise.all([
    call(api.GET("/api/v1/devices", { params: { query: { ...query, owner: subject } } })),
    call(api.GET("/api/v1/grants", { params: { query: { ...query, subject } } })),
    call(
      api.GET("/api/v1/connections", {
        params: { query: { ...query, user: subject, open: true, reporter: "client" } },
      }),
    ),
  ]);
  return {
    lines: [
      `${counted(devices.items.length, "device", "devices", devices.next_cursor)} will reach nothing any more, whatever groups permit.`,
      `${counted(grants.items.length, "grant", "grants", grants.next_cursor)} of its own will open nothing.`,
      `${counted(open.items.length, "open connection", "open connections", open.next_cursor)} will be cut at once.`,
    ],
    undo,
  };
}

export async function blastOfGroup({ id, members }: Group): Promise<Blast> {
  const grants = await call(api.GET("/api/v1/grants", { params: { query: { subject: id, limit: LIMIT } } }));
  return {
    lines: [
      `${counted(grants.items.length, "grant", "grants", grants.next_cursor)} of the group will be removed with it.`,
      `${counted(members, "member loses", "members lose")} what these grants alone give; open connections that rest on them are cut at once.`,
    ],
    undo: null,
  };
}

export async function findPeople(typed: string): Promise<Found[]> {
  const lists: Promise<Found[]>[] = [
    call(api.GET("/api/v1/users", { params: { query: { email: typed, limit: 5 } } })).then(({ items }) =>
      items.map((user) => ({ label: nameOf(user), description: `User · ${user.email}`, to: `/users/${user.id}` })),
    ),
    call(api.GET("/api/v1/groups", { params: { query: { name: typed, limit: 5 } } })).then(({ items }) =>
      items.map(({ id, name }) => ({ label: name, description: "Group", to: `/groups/${id}` })),
    ),
    call(api.GET("/api/v1/service-accounts", { params: { query: { name: typed, limit: 5 } } })).then(({ items }) =>
      items.map(({ id, name }) => ({ label: name, description: "Service account", to: `/service-accounts/${id}` })),
    ),
  ];
  if (typed.startsWith("usr_")) {
    const byId = userQuery(typed).queryFn();
    lists.push(byId.then((user) => [{ label: nameOf(user), description: "User", to: `/users/${user.id}` }]));
  }
  const found = await Promise.allSettled(lists);
  return found.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
}
