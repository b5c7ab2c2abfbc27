mod declaration;
mod examples;
mod random;
mod scratch;
mod view;
