//! The derives of `ovsdb-protocol`, which documents and exports them.

mod atom;
mod attributes;
mod columns;
mod table;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `Table` and `ColumnGroup` for a struct, and its constants `COLUMNS` and `INDEXES`: see the documentation of the
/// trait `Table`, which has all attributes and an example.
#[proc_macro_derive(Table, attributes(ovsdb))]
pub fn derive_table(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    table::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Derives `ColumnGroup` for a group of columns that a row type holds with `#[ovsdb(flatten)]`: see the documentation of the
/// trait `Table`.
#[proc_macro_derive(ColumnGroup, attributes(ovsdb))]
pub fn derive_columns(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    columns::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Derives `AtomValue` for an enumeration of strings: see the documentation of the trait `AtomValue`.
#[proc_macro_derive(AtomValue, attributes(ovsdb))]
pub fn derive_atom_value(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    atom::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
