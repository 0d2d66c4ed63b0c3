//! Tests of the component with real actors.
