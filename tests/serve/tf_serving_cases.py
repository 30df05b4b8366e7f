"""The cases of TF Serving's own tests that a client or an operator can see, and where kgen-serve differs.

A test of ours names those that it repeats with `case("FILE: CASE", ...)`; test_tf_serving.py checks that each case of
CASES is repeated or listed in DIFFERS. tools/make_guides.py writes DIFFERS into kgen/serve/README.md. The files are
those of github.com/tensorflow/serving of July 2026.
"""

CASES = {
    "http_rest_api_handler_test": "kPathRegex UnsupportedApiCalls PredictModelNameVersionErrors PredictRequestErrors "
    "Predict Regress Classify GetStatus GetModelMetadata",
    "http_rest_api_util_test": "TestParseModelInfoForGet TestParseModelInfoForPost",
    "get_model_status_impl_test": "MissingOrEmptyModelSpecFailure InvalidModelNameFailure InvalidModelVersionFailure "
    "AllVersionsSuccess SingleVersionSuccess",
    "server_core_test": "CreateWaitsTillModelsAvailable ReloadConfigWaitsTillModelsAvailable ReloadConfigUnloadsModels "
    "ReloadConfigHandlesLoadingAPreviouslyUnloadedModel ReloadConfigChangeModelBasePath AbsolutePathSucceeds "
    "RelativePathFails AbsolutePathWithEmptyPathFails RelativePathWithOptionsSucceeds MixedAbsoluteRelativeFails "
    "AbsoluteAndRelativePathsWithOptionsSucceed ErroringModel IllegalReconfigurationToCustomConfig "
    "IllegalConfigModelTypeAndPlatformSet DeprecatedModelTypeConfig DuplicateModelNameInConfig UnknownModelPlatform "
    "RequestLoggingOff RequestLoggingOn ModelSpecMultipleVersionsAvailable AssignLabelToUnavailableVersionAllowed "
    "AssignExistingLabelToUnavailableVersionDisallowed",
    "file_system_storage_path_source_test": "FilesAppearAfterStartup MultipleVersions MultipleVersionsAtTheSameTime "
    "NLatestVersions SpecificVersions SpecificVersionsLeadingZeros SpecificVersionsEmpty DefaultVersionPolicy "
    "DefaultNumLatestVersions MultipleServables ChangeSetOfServables ChangeVersionPolicy ParseTimestampedVersion "
    "ServableVersionDirRenamed DuplicateVersions",
    "predict_impl_test": "MissingOrEmptyModelSpec EmptyInputList InputTensorsDontMatchModelSpecInputs "
    "OutputFiltersDontMatchModelSpecOutputs InputTensorsHaveWrongType PredictionSuccess "
    "PredictionWithNamedRegressionSignature PredictionWithNamedClassificationSignature "
    "PredictionWithCustomizedSignatures",
    "predict_util_test": "MissingOrEmptyModelSpec EmptyInputList InputTensorsDontMatchModelSpecInputs "
    "PredictionInvalidTensor OutputFiltersDontMatchModelSpecOutputs InputTensorsHaveWrongType ModelMissingSignatures "
    "PredictionSuccess PredictionWithNamedRegressionSignature PredictionWithNamedClassificationSignature "
    "PredictionWithCustomizedSignatures",
    "get_model_metadata_impl_test": "EmptyOrInvalidMetadataFieldList MissingOrEmptyModelSpec "
    "ReturnsSignaturesForValidModel",
    "classifier_test": "ExampleList ExampleListWithContext ExampleListWithContext_DuplicateFeatures ClassesOnly "
    "ScoresOnly ZeroScoresArePresent ValidNamedSignature InvalidNamedSignature MalformedScores "
    "MissingClassificationSignature EmptyInput EmptyExampleList EmptyExampleListWithContext "
    "ClassesIncorrectTensorBatchSize ClassesIncorrectTensorType ScoresIncorrectTensorBatchSize "
    "ScoresIncorrectTensorType MismatchedNumberOfTensorClasses",
    "regressor_test": "BasicExampleList BasicExampleListWithContext ValidNamedSignature InvalidNamedSignature "
    "MalformedOutputs EmptyInput EmptyExampleList EmptyExampleListWithContext UnexpectedOutputTensorSize "
    "UnexpectedOutputTensorType MissingRegressionSignature",
    "classification_service_test": "InvalidModelSpec InvalidSignature ClassificationSuccess",
    "regression_service_test": "InvalidModelSpec InvalidSignature RegressionSuccess",
    "multi_inference_test": "MissingInputTest UndefinedSignatureTest InconsistentModelSpecsInRequestTest "
    "EvaluateDuplicateSignaturesTest UsupportedSignatureTypeTest ValidSingleSignatureTest "
    "MultipleValidRegressSignaturesTest RegressAndClassifySignaturesTest",
    "multi_inference_helper_test": "MissingInputTest UndefinedSignatureTest InconsistentModelSpecsInRequestTest "
    "EvaluateDuplicateSignaturesTest UsupportedSignatureTypeTest ValidSingleSignatureTest "
    "MultipleValidRegressSignaturesTest RegressAndClassifySignaturesTest",
    "saved_model_warmup_test": "MixedWarmupData UnsupportedLogType_SessionRun UnsupportedLogType_PredictStreamed",
    "saved_model_warmup_util_test": "NoWarmupDataFile WarmupDataFileEmpty UnsupportedFileFormat TooManyWarmupRecords "
    "UnparsableRecord RunSuccess RunFailure",
    "json_tensor_test": "SingleUnnamedTensor DeeplyNestedWellFormed DeeplyNestedMalformed MixedInputForFloatTensor "
    "MixedInputForDoubleTensor FloatTensorWithPrecisionLoss FloatTensorThatExceedsMaxReturnsInf "
    "FloatTensorThatExceedsMinReturnsZero SingleUnnamedTensorWithSignature TensorFromNonNullTerminatedBuffer "
    "SingleUnnamedTensorBase64Scalars SingleUnnamedTensorBase64Lists SingleNamedTensorBase64 MultipleNamedTensor "
    "SingleUnnamedTensorColumnarFormat MultipleNamedTensorColumnarFormat SingleUnnamedTensorErrors "
    "MultipleNamedTensorErrors FromJsonSingleTensor FromJsonSingleScalarTensor FromJsonSingleBytesTensor "
    "FromJsonSingleFloatTensorSixDigitPrecision FromJsonSingleFloatTensorNonFinite FromJsonSingleTensorErrors "
    "FromJsonMultipleNamedTensors FromJsonMultipleNamedTensorsErrors FromJsonSingleZeroBatchTensor "
    "FromJsonMultipleZeroBatchTensors FromJsonMultipleZeroBatchTensorsErrors RequestNoContext "
    "RequestWithContextAndSignature JsonErrors JsonFromClassificationResult JsonFromRegressionResult "
    "JsonFromRegressionResultWithNonFinite StatusError",
    "prometheus_exporter_test": "Counter Gauge Histogram SanitizeLabelValue",
    "tensorflow_model_server_test": "testGetModelStatus testGetModelMetadata testClassify testClassifyTf2 testRegress "
    "testRegressTf2 testMultiInference testMultiInferenceTf2 testPredictSavedModel testGoodModelConfig "
    "testBadModelConfig testModelConfigReload testModelConfigReloadWithZeroPollPeriod testGoodGrpcChannelArgs "
    "testClassifyREST testRegressREST testPredictREST testPredictColumnarREST testGetStatusREST "
    "testGetModelMetadataREST testPrometheusEndpoint testPredictUDS testPredictOnTfLite "
    "testPredictWithSignatureDefOnTfLite test_tf_saved_model_save test_tf_saved_model_save_multiple_signatures "
    "test_sequential_keras_saved_model_save test_distrat_sequential_keras_saved_model_save "
    "test_profiler_service_with_valid_trace_request test_tf_text",
}
"""File of TF Serving -> its cases; without those of C++ interfaces, of fakes, and of flags that kgen-serve has not."""

DIFFERS = (
    (
        ("server_core_test: RelativePathFails", "server_core_test: MixedAbsoluteRelativeFails"),
        "a relative base path is refused unless a flag names its root",
        "it is below the served folder",
    ),
    (
        ("server_core_test: RequestLoggingOn",),
        "`logging_config` writes requests to a log",
        "the log says that it is ignored; nothing logs the content of requests",
    ),
    (
        ("json_tensor_test: DeeplyNestedWellFormed",),
        "JSON that is no input may be nested 500,000 deep",
        "400 beyond `--max_depth`",
    ),
    (
        ("tensorflow_model_server_test: testModelConfigReloadWithZeroPollPeriod",),
        "models.config is polled only if a flag says so",
        "it is looked at whenever the folder is",
    ),
    (
        ("tensorflow_model_server_test: testGoodGrpcChannelArgs",),
        "a flag for arguments of gRPC channels",
        "there is no such flag",
    ),
    (
        ("tensorflow_model_server_test: test_profiler_service_with_valid_trace_request",),
        "a profiler service on the gRPC port",
        "there is none",
    ),
    (
        ("tensorflow_model_server_test: test_tf_text",),
        "the operations of TensorFlow Text are built in",
        "a model with operations outside of the `tensorflow` package does not load; the message names the operation",
    ),
)
"""((cases), what TF Serving does, what kgen-serve does)"""

BEYOND = (
    ("`HandleReloadConfigRequest`", "any client may name any folder", "refused: the operator edits `models.config`"),
    ("files of a loaded version change", "not noticed", "the version is loaded again"),
    ("a newest version that fails at the start", "the model serves nothing", "the newest that can be loaded serves"),
    (
        "shapes of inputs",
        "left to the graph",
        "must be those of the signature for kgen exports; for others too, but for the size of the batch, and for "
        "inputs of one number per row: TensorFlow ends the process at a convolution of fewer dimensions",
    ),
    ("NaN, infinity or a value outside of a kgen export's ranges", "left to the graph", "400 with the range"),
    ("text after the JSON object, and `Inf` for Infinity", "ignored; read", "400"),
    ("`Content-Encoding` other than gzip", "ignored", "415"),
    ("another `Host`, pages of other origins", "everybody may call", "403; flags allow them"),
    ("`OPTIONS`", "headers of CORS for all or none", "for the origins of `--allow_origin`"),
    ("`--grpc_socket_path`", "beside the port", "instead of the port"),
    ("metric labels of models that do not exist", "the name that was sent", "an empty label"),
)
"""(what, what TF Serving does, what kgen-serve does): beyond the cases of its tests."""


def all_cases() -> list[str]:
    """ "FILE: CASE" of each."""
    return [f"{file}: {name}" for file, names in CASES.items() for name in names.split()]


def case(*names: str):
    """Marks a test as the repetition of cases."""
    unknown = {*names} - {*all_cases()}
    assert not unknown, unknown
    return lambda test: test
