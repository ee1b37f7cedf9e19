import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from "@tanstack/react-router";
import { onSignedOut, queryClient } from "~/api/queries";
import { ME, meQuery } from "~/api/session";
import type { PageEntry } from "~/area";
import { areas } from "~/areas";
import { NotFound, PageFailed, PagePending } from "~/shell/fallbacks";
import { Shell } from "~/shell/shell";

const rootRoute = createRootRoute({ component: Outlet, notFoundComponent: NotFound });

/** Everything that needs somebody signed in; who is not goes to the sign-in page and comes back. */
const shellRoute = createRoute({
  getParentRoute: () => rootRoute,
  id: "shell",
  component: Shell,
  notFoundComponent: NotFound,
  beforeLoad: async ({ location }) => {
    const me = await queryClient.ensureQueryData(meQuery);
    if (me !== null) return;
    // An identity provider has sent the browser back, and the account has a second factor besides.
    const step = (location.search as { sign_in?: string }).sign_in;
    const search = step ? { next: location.pathname, step } : { next: location.href };
    throw redirect({ to: "/sign-in", search } as never);
  },
});

function routeOf({ path, page, bare }: PageEntry) {
  return createRoute({
    getParentRoute: () => (bare ? rootRoute : shellRoute),
    path,
    component: lazyRouteComponent(page),
    validateSearch: (search: Record<string, unknown>) => search,
  } as never);
}

const entries = areas.flatMap((area) => area.pages);
const pagesIn = (bare: boolean) => entries.filter((entry) => Boolean(entry.bare) === bare).map(routeOf);

export const router = createRouter({
  routeTree: rootRoute.addChildren([shellRoute.addChildren(pagesIn(false)), ...pagesIn(true)]),
  defaultPreload: "intent",
  defaultPendingComponent: PagePending,
  defaultErrorComponent: PageFailed,
  defaultNotFoundComponent: NotFound,
  scrollRestoration: true,
});

onSignedOut(() => {
  const { pathname, href } = router.state.location;
  if (pathname === "/sign-in") return;
  queryClient.setQueryData(ME, null);
  router.navigate({ to: "/sign-in", search: { next: href } } as never);
});
