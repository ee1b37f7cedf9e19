import { useQuery } from "@tanstack/react-query";
import { api, call } from "~/api/client";
import { useMay } from "~/api/session";
import { PageLink } from "~/components/links";
import { Subject } from "~/pages/policy/names";

/** A client is told by its device, a connector by its name. */
export function Agent({ id, kind }: { id: string; kind: "client" | "connector" }) {
  return kind === "client" ? <Subject kind="device" id={id} /> : <Connector id={id} />;
}

function Connector({ id }: { id: string }) {
  const may = useMay();
  const { data } = useQuery({
    queryKey: ["connectors", "name", id],
    queryFn: () => call(api.GET("/api/v1/connectors/{connector}", { params: { path: { connector: id } } })),
    enabled: may("networks:read"),
    staleTime: 60_000,
    retry: false,
  });
  return (
    <>
      connector <PageLink to={`/connectors/${id}`}>{data?.name ?? id}</PageLink>
    </>
  );
}
