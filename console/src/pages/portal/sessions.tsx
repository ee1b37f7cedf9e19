import { Page } from "~/components/page";
import { SessionTable } from "~/pages/settings/session-table";
import { useMySessions } from "./queries";

export default function MySessionsPage() {
  return (
    <Page title="My sessions" subtitle="Where you are signed in to this console and to the API. End what is not yours.">
      <SessionTable query={useMySessions()} />
    </Page>
  );
}
