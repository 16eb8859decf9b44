// OHIF 3.13 on a pe-node. The node serves this file as it is, with the viewer of its setting viewer.directory.
// For an OHIF on a server of its own, put the file in place of OHIF's app-config.js, change these two lines, and add the
// origin of the viewer to the node's setting http.allowed_origins.
const NODE = ''; // 'https://pe-node.example'
const VIEWER = '/viewer'; // '/' where the viewer is at the root of its server

// OHIF knows no Key Object Selections and would list them with a warning. Here one is shown as what it selects: a stack of
// the images, once their series is there.
const HANDLER = 'pe-node.key-object-selections.sopClassHandlerModule.stack';
const STACK = '@ohif/extension-default.sopClassHandlerModule.stack';
const keyObjectSelections = {
  id: 'pe-node.key-object-selections',
  getSopClassHandlerModule: ({ servicesManager, extensionManager }) => {
    const { displaySetService } = servicesManager.services;
    const asArray = value => (Array.isArray(value) ? value : value ? [value] : []);

    function selectedImages(selection) {
      const references = asArray(selection.ContentSequence).flatMap(item => asArray(item.ReferencedSOPSequence));
      const known = displaySetService.activeDisplaySets.flatMap(displaySet => displaySet.images ?? []);
      return references
        .map(({ ReferencedSOPInstanceUID: uid }) => known.find(image => image.SOPInstanceUID === uid))
        .filter(Boolean);
    }

    function stackOf(selection) {
      const images = selectedImages(selection);
      if (!images.length) return undefined;
      const [stack] = extensionManager.getModuleEntry(STACK).getDisplaySetsFromSeries(images);
      const { SOPClassUID, SeriesInstanceUID, SeriesDescription, SeriesNumber, SeriesDate, SeriesTime } = selection;
      stack.setAttributes({
        SOPClassUID,
        SeriesInstanceUID,
        SeriesDescription,
        SeriesNumber,
        SeriesDate,
        SeriesTime,
        Modality: 'KO',
        label: SeriesDescription,
        isReconstructable: false,
        isCompositeStack: true,
      });
      return stack;
    }

    /** What stands for a selection whose images are not there yet: nothing that a user sees. */
    function placeholder(selection) {
      const { SOPClassUID, SOPInstanceUID, SeriesInstanceUID, StudyInstanceUID, SeriesDescription } = selection;
      return {
        displaySetInstanceUID: `${SeriesInstanceUID}-waiting`,
        SOPClassHandlerId: HANDLER,
        SOPClassUID,
        SOPInstanceUID,
        SeriesInstanceUID,
        StudyInstanceUID,
        SeriesDescription,
        Modality: 'KO',
        instances: [selection],
        excludeFromThumbnailBrowser: true,
        unsupported: true,
      };
    }

    function getDisplaySetsFromSeries([selection]) {
      const stack = stackOf(selection);
      if (stack) return [stack];
      const { unsubscribe } = displaySetService.subscribe(displaySetService.EVENTS.DISPLAY_SETS_ADDED, () => {
        const late = stackOf(selection);
        if (!late) return;
        unsubscribe();
        displaySetService.addDisplaySets(late);
      });
      return [placeholder(selection)];
    }

    return [{ name: 'stack', sopClassUids: ['1.2.840.10008.5.1.4.1.1.88.59'], getDisplaySetsFromSeries }];
  },
};
const withKeyObjectSelections = { sopClassHandlers: { $push: [HANDLER] } };

window.config = {
  routerBasename: VIEWER,
  extensions: [keyObjectSelections],
  modes: [],
  modesConfiguration: {
    '@ohif/mode-basic': withKeyObjectSelections,
    '@ohif/mode-longitudinal': withKeyObjectSelections,
    '@ohif/mode-segmentation': withKeyObjectSelections,
  },
  customizationService: {},
  showStudyList: true,
  // Neither the viewer nor this node is a medical device: whoever opens it is told.
  investigationalUseDialog: { option: 'always' },
  maxNumberOfWebWorkers: 3,
  defaultDataSourceName: 'dicomweb',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'dicomweb',
      configuration: {
        friendlyName: 'pe-node',
        name: 'pe-node',
        wadoUriRoot: `${NODE}/dicomweb`,
        qidoRoot: `${NODE}/dicomweb`,
        wadoRoot: `${NODE}/dicomweb`,
        qidoSupportsIncludeField: false,
        supportsReject: false,
        dicomUploadEnabled: false,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        omitQuotationForMultipartRequest: true,
        singlepart: 'bulkdata,video',
        bulkDataURI: { enabled: true },
      },
    },
  ],
};
