"""Pure decisions: values in, values out; imports no loop and no store I/O, and reads no clock."""
