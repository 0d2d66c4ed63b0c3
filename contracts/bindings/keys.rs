//! The verifying keys of `contracts/keys`, made by `tools/verifying-keys.mjs`. Do not edit.

use alloy_primitives::{B256, FixedBytes, b256, fixed_bytes};

use crate::verifiers::Key;

pub(crate) const SP1_V6_1_SELECTOR: FixedBytes<4> = fixed_bytes!("4388a21c");
pub(crate) const SP1_V6_1_VK_ROOT: B256 =
    b256!("002f850ee998974d6cc00e50cd0814b098c05bfade466d28573240d057f25352");
pub(crate) const SP1_V6_1: Key = Key {
    alpha: [
        b256!("21c7d728a5fd961fc179ec5eab938f564deba5b271e1c90c2c29a79648418fc1"),
        b256!("2317bd9b644830ef5ffec1c2d46b5442aa8029d41eb58fb8fc939fb03365e00e"),
    ],
    beta: [
        b256!("1c3c9339849225980c7d3f824f80d19e2a9c2554b6ab2160fa9635528f693fc0"),
        b256!("0d964538da2653f2e62499571e6c78afb8909d3ea8107f306bd6928253680a3a"),
        b256!("2c8e3c3c5153ef35c01baddac0d2e24dfee9dd922d819aae54fa90e175f9625e"),
        b256!("2677b02e199903c8131b8e9fafaa7d5b0eeda406cf3d190e01cfdce881ab30ca"),
    ],
    gamma: [
        b256!("198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2"),
        b256!("1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"),
        b256!("090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b"),
        b256!("12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"),
    ],
    delta: [
        b256!("11b7e9276171bb0efd647fc63e38bbfba3076f20daca8cd52bcc7284d9b1c6eb"),
        b256!("1723616533dd6ae53502c9c506a81f23f543d68750b5133ebfbe1f4746b3b011"),
        b256!("0c4684810202d51d39e2b093a0a9187afacb75e203000170f23687b2cc786b26"),
        b256!("05865c701a782e7a81549613e8f8832f6a6d86a809ca794fd7e99b54e626080c"),
    ],
    points: &[
        [
            b256!("2cd6bf7f164af0b6b0bbbe0fdcb06ee0c1ba07f8e6eb2f9f3943a90cb1d40290"),
            b256!("0a76f7e6e8a78d71649eb7e3132018885e2f57ccca64394738e746c63c9fa83b"),
        ],
        [
            b256!("0f5460f3b7221705435e745da21e276536379c0113c13c4255e7ae101f1e90bf"),
            b256!("022b4d6c4b7dbdeed528d5abe6eddd6f2bd4ae4b9b0450dc18901fc727da799c"),
        ],
        [
            b256!("0b0ae6e491bc04c544da9e8cd4857d201b4cfa0222dbe96aac97f044fdf1c922"),
            b256!("123e064d2ffdb7f8094b727cde1c0beea6d4d551e5743a336804f8effb7f07ac"),
        ],
        [
            b256!("097c875a6ebd0999b06e7267ff3d8a6bf859bb9635abae07cb6b3534ba409a83"),
            b256!("2d84b73fb0f397e356b524f2d0e9ddc9d0f6ac75e566041147ee8554879183ec"),
        ],
        [
            b256!("1807204ddcd27506ba72e17b55227b0bf310136ecb40c74acd52f3ccfbcba9f7"),
            b256!("011078b5c7767fe73bb54241dcd143ee805ea4383d48d46bced129482c8c2021"),
        ],
        [
            b256!("008c7b7c98d78c07a2c4be5f6be7082ba41021611f9a2dfc016f8bbb37d36bee"),
            b256!("09ce6d246baeac24b5a404ca175c2cc4a974e217176fe2ec2a6c22eb60fd65c1"),
        ],
    ],
};

pub(crate) const SP1_V5_SELECTOR: FixedBytes<4> = fixed_bytes!("a4594c59");
pub(crate) const SP1_V5: Key = Key {
    alpha: [
        b256!("2d4d9aa7e302d9df41749d5507949d05dbea33fbb16c643b22f599a2be6df2e2"),
        b256!("14bedd503c37ceb061d8ec60209fe345ce89830a19230301f076caff004d1926"),
    ],
    beta: [
        b256!("0967032fcbf776d1afc985f88877f182d38480a653f2decaa9794cbc3bf3060c"),
        b256!("0e187847ad4c798374d0d6732bf501847dd68bc0e071241e0213bc7fc13db7ab"),
        b256!("304cfbd1e08a704a99f5e847d93f8c3caafddec46b7a0d379da69a4d112346a7"),
        b256!("1739c1b1a457a8c7313123d24d2f9192f896b7c63eea05a9d57f06547ad0cec8"),
    ],
    gamma: [
        b256!("198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2"),
        b256!("1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"),
        b256!("090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b"),
        b256!("12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"),
    ],
    delta: [
        b256!("1cc7cb8de715675f21f01ecc9b46d236e0865e0cc020024521998269845f74e6"),
        b256!("03ff41f4ba0c37fe2caf27354d28e4b8f83d3b76777a63b327d736bffb0122ed"),
        b256!("2ed3b19b5eb39db0d19a3d72dcd590ac85a971def614f4fd11b56b3c5e53c44c"),
        b256!("17387b4b9cf03927909b4f1c3d80fcd6865afc4a264a04499f7e2f6df690dd85"),
    ],
    points: &[
        [
            b256!("26091e1cafb0ad8a4ea0a694cd3743ebf524779233db734c451d28b58aa9758e"),
            b256!("009ff50a6b8b11c3ca6fdb2690a124f8ce25489fefa65a3e782e7ba70b66690e"),
        ],
        [
            b256!("061c3fd0fd3da25d2607c227d090cca750ed36c6ec878755e537c1c48951fb4c"),
            b256!("0fa17ae9c2033379df7b5c65eff0e107055e9a273e6119a212dd09eb51707219"),
        ],
        [
            b256!("04eab241388a79817fe0e0e2ead0b2ec4ffdec51a16028dee020634fd129e71c"),
            b256!("07236256d21c60d02f0bdbf95cff83e03ea9e16fca56b18d5544b0889a65c1f5"),
        ],
    ],
};

pub(crate) const RISC0_V3_SELECTOR: FixedBytes<4> = fixed_bytes!("73c457ba");
pub(crate) const RISC0_V3_CONTROL_ROOT: B256 =
    b256!("a54dc85ac99f851c92d7c96d7318af41dbe7c0194edfcc37eb4d422a998c1f56");
pub(crate) const RISC0_V3_BN254_CONTROL_ID: B256 =
    b256!("c07a65145c3cb48b6101962ea607a4dd93c753bb26975cb47feb00d3666e4404");
pub(crate) const RISC0_V3: Key = Key {
    alpha: [
        b256!("2d4d9aa7e302d9df41749d5507949d05dbea33fbb16c643b22f599a2be6df2e2"),
        b256!("14bedd503c37ceb061d8ec60209fe345ce89830a19230301f076caff004d1926"),
    ],
    beta: [
        b256!("0967032fcbf776d1afc985f88877f182d38480a653f2decaa9794cbc3bf3060c"),
        b256!("0e187847ad4c798374d0d6732bf501847dd68bc0e071241e0213bc7fc13db7ab"),
        b256!("304cfbd1e08a704a99f5e847d93f8c3caafddec46b7a0d379da69a4d112346a7"),
        b256!("1739c1b1a457a8c7313123d24d2f9192f896b7c63eea05a9d57f06547ad0cec8"),
    ],
    gamma: [
        b256!("198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2"),
        b256!("1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"),
        b256!("090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b"),
        b256!("12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"),
    ],
    delta: [
        b256!("03b03cd5effa95ac9bee94f1f5ef907157bda4812ccf0b4c91f42bb629f83a1c"),
        b256!("1aa085ff28179a12d922dba0547057ccaae94b9d69cfaa4e60401fea7f3e0333"),
        b256!("110c10134f200b19f6490846d518c9aea868366efb7228ca5c91d2940d030762"),
        b256!("1e60f31fcbf757e837e867178318832d0b2d74d59e2fea1c7142df187d3fc6d3"),
    ],
    points: &[
        [
            b256!("12ac9a25dcd5e1a832a9061a082c15dd1d61aa9c4d553505739d0f5d65dc3be4"),
            b256!("025aa744581ebe7ad91731911c898569106ff5a2d30f3eee2b23c60ee980acd4"),
        ],
        [
            b256!("0707b920bc978c02f292fae2036e057be54294114ccc3c8769d883f688a1423f"),
            b256!("2e32a094b7589554f7bc357bf63481acd2d55555c203383782a4650787ff6642"),
        ],
        [
            b256!("0bca36e2cbe6394b3e249751853f961511011c7148e336f4fd974644850fc347"),
            b256!("2ede7c9acf48cf3a3729fa3d68714e2a8435d4fa6db8f7f409c153b1fcdf9b8b"),
        ],
        [
            b256!("1b8af999dbfbb3927c091cc2aaf201e488cbacc3e2c6b6fb5a25f9112e04f2a7"),
            b256!("2b91a26aa92e1b6f5722949f192a81c850d586d81a60157f3e9cf04f679cccd6"),
        ],
        [
            b256!("2b5f494ed674235b8ac1750bdfd5a7615f002d4a1dcefeddd06eda5a076ccd0d"),
            b256!("2fe520ad2020aab9cbba817fcbb9a863b8a76ff88f14f912c5e71665b2ad5e82"),
        ],
        [
            b256!("0f1c3c0d5d9da0fa03666843cde4e82e869ba5252fce3c25d5940320b1c4d493"),
            b256!("214bfcff74f425f6fe8c0d07b307482d8bc8bb2f3608f68287aa01bd0b69e809"),
        ],
    ],
};

pub(crate) const PICO: Key = Key {
    alpha: [
        b256!("1f905760a83cfc22560ae2e55747618102f280cdc3e0cd8a94d8dfbe209d6508"),
        b256!("22aba4b0d677b5afb88a6a097d18a9ea0a583d8b0c0a3913090ab78cb3afde1a"),
    ],
    beta: [
        b256!("2f41b4486c54a5721dd60b9097cf061e4465bf1b3c9c0a289301c0ace899bc55"),
        b256!("276d99ea794fdcb1475195104f95f535e6efb16aabdcc254754d5a930945a55a"),
        b256!("1923f0835bc8a42f81a0cafd3d0744568d9c1a3943e825faa9aa2998e49f656a"),
        b256!("29933e5383f0c7de0d438a260c5e6bfcd95469dde53dfd26e9558ba6c82ea620"),
    ],
    gamma: [
        b256!("234fc0b9aed3a32ea89c2325cf53add49651b855829cfcc9a1368bba013d9b78"),
        b256!("1d1a6cf05f3129136408d8dc1ad2d8e6f60e087f8177f14b2deb7bbec4a37c14"),
        b256!("1cecf82b13b90bac9b4f4859e80916b25db61b1a447e5498b41990105e289871"),
        b256!("1e0dcf8a0c17ea00aa24155c3d7d3fa135ca7e1a14d92311627acec46f78981b"),
    ],
    delta: [
        b256!("10592dad298bacacd320a6d53b0aa6d19634663e74c9d0904d592f0f4c76c23f"),
        b256!("2e3568a669884dace0f7548ac91acb71f8e8ad34ad9fd989dc345cba33dc3c28"),
        b256!("2ca74dda1ea27252bb78fa2e4f80f0b0df86323de4840d77b62c551e89487326"),
        b256!("0d4bb944137c2a77719e2a188334015194d1a7f2d58860bc1af26a779d2b63bc"),
    ],
    points: &[
        [
            b256!("21479a04cf50085fc3d118540aa4416c0548c633cfb86f697bc20fba235f249b"),
            b256!("0e0de325f841aafcf07bf6c6e89c29396362176a1e8ff6c67a4eee690ead0ae6"),
        ],
        [
            b256!("23e3faf88e315d58db00740d43a122ed4423a51351445140655e2763c6e5915f"),
            b256!("0cacfb35b768001e7e9de1cd30202a17d17328a4e1471e14f9ea95445908e486"),
        ],
        [
            b256!("198ef1069f1cb584addcc1615c0154cce48a0f0ce946734e20cd0182dc80cd67"),
            b256!("11d4df3cee8e649c7f4f47eab2f87cca5238ca416ccb5f5b00d125b5e9efd79d"),
        ],
    ],
};
