import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from "@mantine/core";

/** Dark enough on white, and light enough on dark, for text of 4.5:1 (WCAG 2.2 AA, 1.4.3). */
const gate: MantineColorsTuple = [
  "#eaf2ff",
  "#d3e2fb",
  "#a5c3f4",
  "#75a3ee",
  "#6499ee",
  "#3575e5",
  "#256ade",
  "#1f5fbf",
  "#184fa3",
  "#0e4088",
];

export const theme = createTheme({
  primaryColor: "gate",
  primaryShade: { light: 7, dark: 7 },
  colors: { gate },
  fontFamily: "'Inter Variable', system-ui, sans-serif",
  fontFamilyMonospace: "ui-monospace, 'SF Mono', 'DejaVu Sans Mono', monospace",
  defaultRadius: "md",
  cursorType: "pointer",
  headings: { fontWeight: "650" },
  components: {
    // Mantine's own heads are <header>s, which are banners to assistive programs; the page has its own already.
    DrawerHeader: { defaultProps: { component: "div" } },
    ModalHeader: { defaultProps: { component: "div" } },
    Drawer: { defaultProps: { position: "right", size: "lg", overlayProps: { backgroundOpacity: 0.35 } } },
    Tooltip: { defaultProps: { withArrow: true, openDelay: 200, events: { hover: true, focus: true, touch: true } } },
  },
});

/** Mantine's own dimmed text has 3.3:1 on white; ours has at least 4.5:1 on every background of the console. */
export const variables: CSSVariablesResolver = (current) => ({
  variables: {},
  light: {
    "--mantine-color-dimmed": current.colors.gray?.[7] ?? "",
    "--mantine-color-placeholder": current.colors.gray?.[7] ?? "",
  },
  dark: {
    "--mantine-color-dimmed": current.colors.dark?.[1] ?? "",
    "--mantine-color-placeholder": current.colors.dark?.[1] ?? "",
  },
});
