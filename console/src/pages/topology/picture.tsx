import "@xyflow/react/dist/style.css";
import { Box, Group, Text, UnstyledButton, useComputedColorScheme } from "@mantine/core";
import { IconKey } from "@tabler/icons-react";
import { Controls, type Edge, Handle, type Node, type NodeProps, Position, ReactFlow } from "@xyflow/react";
import { useMemo } from "react";
import { Status } from "~/components/status";
import { KIND_ICONS, KIND_WORDS } from "~/pages/policy/names";
import type { Graph, Thing } from "./graph";
import { NODE, placesOf } from "./layout";
import classes from "./picture.module.css";

type ThingNode = Node<{ thing: Thing; focused: boolean; choose: (id: string) => void }, "thing">;

interface PictureProps {
  graph: Graph;
  focus: string | undefined;
  choose: (id: string) => void;
  /** Undefined: now. */
  at: string | undefined;
}

/** The graph as a picture. Each thing is a button: Tab goes through them, Enter puts one into focus. */
export default function Picture({ graph, focus, choose, at }: PictureProps) {
  const scheme = useComputedColorScheme("light");
  const nodes = useMemo<ThingNode[]>(() => {
    const places = placesOf(graph);
    return graph.things.map((thing) => ({
      id: thing.id,
      type: "thing",
      position: places.get(thing.id) ?? { x: 0, y: 0 },
      width: NODE.width,
      height: NODE.height,
      data: { thing, focused: thing.id === focus, choose },
    }));
  }, [graph, focus, choose]);
  const edges = useMemo<Edge[]>(
    () =>
      graph.ties.map(({ from, to, ofNow }) => ({
        id: `${from} ${to}`,
        source: from,
        target: to,
        ...(ofNow && { className: classes.ofNow }),
      })),
    [graph],
  );
  return (
    <Box h="min(70vh, 720px)" bd="1px solid var(--mantine-color-default-border)" style={{ borderRadius: 8 }}>
      <ReactFlow
        // Another focus or moment is another picture: it is fitted into the frame anew.
        key={`${focus ?? "all"} ${at ?? "now"}`}
        aria-label="Topology"
        nodes={nodes}
        edges={edges}
        nodeTypes={NODE_TYPES}
        colorMode={scheme}
        fitView
        fitViewOptions={{ padding: 0.08, maxZoom: 1 }}
        minZoom={0.1}
        nodesDraggable={false}
        nodesConnectable={false}
        nodesFocusable={false}
        edgesFocusable={false}
        elementsSelectable={false}
        preventScrolling={false}
      >
        <Controls showInteractive={false} position="top-right" />
      </ReactFlow>
    </Box>
  );
}

function ThingCard({ data: { thing, focused, choose } }: NodeProps<ThingNode>) {
  const Icon = thing.kind === "grant" ? IconKey : KIND_ICONS[thing.kind];
  const kind = thing.kind === "grant" ? "Grant" : KIND_WORDS[thing.kind];
  return (
    <>
      <Handle type="target" position={Position.Left} className={classes.handle} isConnectable={false} />
      <UnstyledButton
        className={[classes.thing, focused && classes.focused, thing.ofNow && classes.ofNow].filter(Boolean).join(" ")}
        w={NODE.width}
        h={NODE.height}
        aria-pressed={focused}
        onClick={() => choose(thing.id)}
      >
        <Group gap={6} wrap="nowrap">
          <Icon size={16} stroke={1.6} aria-hidden style={{ flexShrink: 0 }} />
          <span className={classes.label}>{thing.label}</span>
        </Group>
        <span className={classes.below}>
          {thing.state ? (
            <Status {...thing.state} />
          ) : (
            <Text component="span" inherit c="dimmed">
              {kind}
            </Text>
          )}
        </span>
      </UnstyledButton>
      <Handle type="source" position={Position.Right} className={classes.handle} isConnectable={false} />
    </>
  );
}

const NODE_TYPES = { thing: ThingCard };
