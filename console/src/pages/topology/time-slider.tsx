import { Box, Button, Group, Paper, Select, Slider, Stack, Text, VisuallyHidden } from "@mantine/core";
import { IconPlayerTrackNext, IconPlayerTrackPrev } from "@tabler/icons-react";
import { useMemo, useState } from "react";
import { absolute, relative, Time } from "~/components/time";
import { counted } from "~/components/words";
import { MomentField } from "~/pages/access/moment-field";
import { EventLink } from "~/pages/policy/events";
import type { Log } from "./log";
import { eventName, lengthOf, marksOf, momentsOf, neighbours, SPANS, spanOf } from "./moments";
import type { Logged } from "./past";

interface TimeSliderProps {
  log: Log;
  /** Undefined: now. */
  at_ms: number | undefined;
  /** What the URL says. */
  span: string | undefined;
  /** The newest change of the moment. */
  last: Logged | undefined;
  change: (filters: Record<string, string | null>) => void;
}

const text = (at_ms: number) => new Date(at_ms).toISOString();

/** Chooses the moment as of which the topology is shown; the URL holds it. */
export function TimeSlider({ log, at_ms, span, last, change }: TimeSliderProps) {
  const { events, until_ms } = log;
  const moments = useMemo(() => momentsOf(events), [events]);
  const shown = spanOf(span, at_ms, until_ms);
  const since_ms = Math.min(until_ms - lengthOf(shown), at_ms ?? until_ms);
  const { earlier, later } = neighbours(moments, at_ms);
  const go = (moment: number | null | undefined) =>
    moment !== undefined && change({ at: moment === null ? null : text(moment) });
  const inside = moments.filter((moment) => moment >= since_ms).length;
  return (
    <Paper component="section" aria-label="Moment" withBorder p="md" radius="md">
      <Stack gap="sm">
        <Group align="flex-end">
          <Select
            label="The last"
            data={Object.entries(SPANS).map(([value, { label }]) => ({ value, label }))}
            value={shown}
            allowDeselect={false}
            onChange={(chosen) => change({ span: chosen })}
            w={120}
          />
          <MomentField
            key={at_ms}
            at={at_ms === undefined ? undefined : text(at_ms)}
            setAt={(moment) => change({ at: moment })}
          />
          <Button
            variant="default"
            leftSection={<IconPlayerTrackPrev size={16} />}
            disabled={earlier === undefined}
            onClick={() => go(earlier)}
          >
            Change before
          </Button>
          <Button
            variant="default"
            rightSection={<IconPlayerTrackNext size={16} />}
            disabled={later === undefined}
            onClick={() => go(later)}
          >
            Change after
          </Button>
        </Group>
        <Box
          onKeyDown={(event) => {
            if (event.key !== "PageDown" && event.key !== "PageUp") return;
            event.preventDefault();
            go(event.key === "PageDown" ? earlier : later);
          }}
        >
          <Track moments={moments} since_ms={since_ms} until_ms={until_ms} at_ms={at_ms} go={go} />
        </Box>
        <Text size="sm" c="dimmed">
          {counted(inside, "moment", "moments")} with a change in this time, each marked; Page Down and Page Up go from
          one to the next.
        </Text>
        <Told at_ms={at_ms} last={last} />
      </Stack>
    </Paper>
  );
}

interface TrackProps {
  moments: number[];
  since_ms: number;
  until_ms: number;
  at_ms: number | undefined;
  go: (moment: number | null) => void;
}

function Track({ moments, since_ms, until_ms, at_ms, go }: TrackProps) {
  const [dragged, setDragged] = useState<number | null>(null);
  const marks = useMemo(
    () => marksOf(moments, since_ms, until_ms).map((value) => ({ value })),
    [moments, since_ms, until_ms],
  );
  const step = Math.max(1_000, Math.round((until_ms - since_ms) / 1000));
  // Steps are counted from the left and the last one is shorter: the right end of the track is now all the same.
  const isNow = (value: number) => value > until_ms - step;
  return (
    <div>
      <Slider
        min={since_ms}
        max={until_ms}
        step={step}
        marks={marks}
        // At either end of the track there is no room for more.
        label={(value) => (value >= until_ms ? "now" : relative(value, until_ms))}
        thumbLabel="Moment that is shown"
        thumbValueText={(value) => (value >= until_ms ? "now" : `${absolute(value)}, ${relative(value, until_ms)}`)}
        value={dragged ?? at_ms ?? until_ms}
        onChange={setDragged}
        onChangeEnd={(value) => {
          setDragged(null);
          go(isNow(value) ? null : value);
        }}
      />
      <Group justify="space-between" mt={6}>
        <Text size="xs" c="dimmed">
          {absolute(since_ms)}
        </Text>
        {dragged !== null && <Text size="xs">{absolute(dragged)}</Text>}
        <Text size="xs" c="dimmed">
          now
        </Text>
      </Group>
    </div>
  );
}

/** Which moment it is, in words: what is read aloud holds no time that goes on by itself. */
function Told({ at_ms, last }: Pick<TimeSliderProps, "at_ms" | "last">) {
  const spoken = at_ms === undefined ? "As it is now." : `As it was at ${absolute(at_ms)}.`;
  return (
    <>
      <VisuallyHidden role="status">
        {spoken} {at_ms !== undefined && last && `The change before: ${eventName(last)}.`}
      </VisuallyHidden>
      {at_ms === undefined ? (
        <Text size="sm">As it is now.</Text>
      ) : (
        <>
          <Text size="sm" component="div">
            As it was at <Time at={at_ms} both />,{" "}
            {last ? (
              <>
                after <EventLink position={last.position}>{eventName(last)}</EventLink>.
              </>
            ) : (
              "before anything was made."
            )}
          </Text>
          <Text size="sm" c="dimmed">
            Which connectors and relays are online, and who is attached to whom, is in no log: both are grey, and as
            they are now.
          </Text>
        </>
      )}
    </>
  );
}
