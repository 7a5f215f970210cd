"""A results folder: its one reader and writer, tables, figures and the page made of it."""
