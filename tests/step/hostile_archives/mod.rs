//! What archives may do to the machine that unpacks them: nothing. Every refusal names the member and the
//! rule, leaves nothing behind, and touches nothing around the destination. And every oddity that real sdists
//! have is unpacked all the same.

mod scene;
mod tarball;
mod zipfile;

mod limits;
mod links;
mod names;
mod oddities;
mod properties;
mod streams;
mod types;
mod zips;
