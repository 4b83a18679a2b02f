"""What a browser shows of runs, exports, captures and heads, by viser."""
