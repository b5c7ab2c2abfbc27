//! `#[derive(Table)]`.

use proc_macro2::TokenStream;
use quote::quote;
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
    Ok(quote! {
        #columns

        impl ::ovsdb_protocol::Table for #name {
            const TABLE: ::ovsdb_protocol::TableSpec = ::ovsdb_protocol::TableSpec {
                name: #table,
                columns: <Self as ::ovsdb_protocol::ColumnGroup>::COLUMNS,
                load_stage: #load_stage,
                is_optional: #is_optional,
                since: #since,
                absent: #absent,
            };

            #[allow(unused_mut, unused_variables)]
            fn with_uuid(uuid: ::ovsdb_protocol::Uuid) -> Self {
                let mut row = <Self as ::ovsdb_protocol::ColumnGroup>::with_defaults();
                #uuid
                row
            }
        }
    })
}
