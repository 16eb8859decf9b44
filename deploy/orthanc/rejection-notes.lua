-- For an Orthanc that receives results of pe-node: what a rejection note names is deleted, and the note with it
-- (IHE Imaging Object Change Management). Name this file in "LuaScripts" of Orthanc's configuration, and set
-- `rejection_notes = true` for the destination.

local KEY_OBJECT_SELECTION = '1.2.840.10008.5.1.4.1.1.88.59'
local TITLES = { ['113001'] = true, ['113037'] = true, ['113038'] = true, ['113039'] = true }

local function isNote(tags)
  local title = tags['ConceptNameCodeSequence']
  return tags['SOPClassUID'] == KEY_OBJECT_SELECTION and title ~= nil and TITLES[title[1]['CodeValue']] == true
end

local function delete(sopInstanceUid)
  for _, found in ipairs(ParseJson(RestApiPost('/tools/lookup', sopInstanceUid))) do
    if found['Type'] == 'Instance' then
      RestApiDelete(found['Path'])
    end
  end
end

function OnStoredInstance(instanceId, tags, metadata)
  if tags['SOPClassUID'] ~= KEY_OBJECT_SELECTION then return end
  local note = ParseJson(RestApiGet('/instances/' .. instanceId .. '/simplified-tags'))
  if not isNote(note) then return end
  for _, study in ipairs(note['CurrentRequestedProcedureEvidenceSequence'] or {}) do
    for _, series in ipairs(study['ReferencedSeriesSequence'] or {}) do
      for _, object in ipairs(series['ReferencedSOPSequence'] or {}) do
        delete(object['ReferencedSOPInstanceUID'])
      end
    end
  end
  RestApiDelete('/instances/' .. instanceId)
end
