import { useQuery } from "@tanstack/react-query";
import { useLive } from "~/api/live";
import { CommandBlock } from "~/components/copy";
import { PageLink } from "~/components/links";
import { Facts, Page } from "~/components/page";
import { ProblemAlert } from "~/components/problem-alert";
import { Status } from "~/components/status";
import { timeZone } from "~/components/time";
import { PagePending } from "~/shell/fallbacks";
import { healthQuery } from "./queries";

export default function AboutPage() {
  const { data: health, error, refetch } = useQuery(healthQuery);
  const live = useLive();
  if (error) return <ProblemAlert error={error} retry={refetch} />;
  if (!health) return <PagePending />;
  const checks = Object.entries(health.checks ?? {});
  return (
    <Page title="Version" subtitle="What runs here.">
      <Facts
        facts={[
          ["Controller", health.software],
          ...checks.map(([name, state]): [string, React.ReactNode] => [
            name.replaceAll("_", " "),
            <Status key={name} kind={state === "ok" ? "good" : "bad"} label={state} />,
          ]),
          [
            "Live data",
            <Status
              key="live"
              kind={live.connected ? "good" : "warning"}
              label={live.connected ? "Follows the controller" : "Asks every 15 seconds"}
              since={live.since}
            />,
          ],
          ["Address", window.location.origin],
          ["Times are in", timeZone],
          [
            "API",
            <PageLink key="api" to="/reference">
              Reference
            </PageLink>,
          ],
        ]}
      />
      <CommandBlock command="ostiary-controller version" />
    </Page>
  );
}
