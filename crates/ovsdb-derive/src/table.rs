//! `#[derive(Table)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::DeriveInput;

use crate::attributes::StructAttributes;
use crate::columns::Declaration;

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let attributes = StructAttributes::parse(input)?;
    let Some(table) = attributes.table.clone() else {
        return Err(syn::Error::new_spanned(
            &input.ident,
            "the table's name is missing: #[ovsdb(table = \"NAME\")]",
        ));
    };
    let declaration = Declaration::parse(input, attributes)?;
    let columns = declaration.columns();
    let name = &input.ident;
    let StructAttributes { load_stage, since, absent, is_optional, .. } = &declaration.attributes;
    let uuid = declaration.uuid.map(|uuid| quote!(row.#uuid = uuid;));
    let (index_specs, indexes) = indexes(&declaration);
    Ok(quote! {
        #columns

        #indexes

        impl ::ovsdb_protocol::Table for #name {
            const TABLE: ::ovsdb_protocol::TableSpec = ::ovsdb_protocol::TableSpec {
                name: #table,
                columns: <Self as ::ovsdb_protocol::ColumnGroup>::COLUMNS,
                load_stage: #load_stage,
                is_optional: #is_optional,
                since: #since,
                absent: #absent,
            };

            #index_specs

            #[allow(unused_mut, unused_variables)]
            fn with_uuid(uuid: ::ovsdb_protocol::Uuid) -> Self {
                let mut row = <Self as ::ovsdb_protocol::ColumnGroup>::with_defaults();
                #uuid
                row
            }
        }
    })
}

/// Generates the trait's list of indexes, and the constant with their names.
fn indexes(declaration: &Declaration<'_>) -> (TokenStream, TokenStream) {
    let indexed: Vec<_> = declaration.indexed().collect();
    if indexed.is_empty() {
        return Default::default();
    }
    let name = &declaration.input.ident;
    let visibility = &declaration.input.vis;
    let indexes_name = format_ident!("{name}Indexes");
    let idents: Vec<_> = indexed.iter().map(|(member, _)| member.ident).collect();
    let types = indexed.iter().map(|(member, _)| member.field_type);
    let docs = indexed.iter().map(|(_, part)| format!("`{}`", part.column));
    let numbers = 0..indexed.len();
    let doc = format!("The indexes of [`{name}`], by which rows are found.");
    let specs = quote! {
        const INDEXES: &'static [::ovsdb_protocol::HashKeys<Self>] = &[#(
            |row, state, each| ::ovsdb_protocol::hash_keys(&row.#idents, state, each),
        )*];
    };
    let constant = quote! {
        #[doc = #doc]
        #[derive(Clone, Copy, Debug)]
        #[allow(dead_code)]
        #visibility struct #indexes_name {
            #(#[doc = #docs] #visibility #idents: ::ovsdb_protocol::Index<#name, #types>,)*
        }

        impl #name {
            #[doc = "The indexes, by which rows are found."]
            #[allow(dead_code)]
            #visibility const INDEXES: #indexes_name = #indexes_name {
                #(#idents: ::ovsdb_protocol::Index::new(#numbers, |row| &row.#idents),)*
            };
        }
    };
    (specs, constant)
}
