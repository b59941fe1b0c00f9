"""Pure decisions: values in, values out; imports no loop, no store's I/O and reads no clock."""
